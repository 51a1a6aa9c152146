package main

import (
	"context"
	"fmt"
	"html"
	"os"
	"path/filepath"
	"strings"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
)

// subject is a mail or a page, as a browser gets it.
type subject struct{ name, html string }

// widths are those of a phone and of a desk, in CSS pixels.
func widths() []int64 { return []int64{390, 1200} }

// schemes are the colour schemes that a browser may prefer.
func schemes() []string { return []string{"light", "dark"} }

// photograph writes each subject at each width and in each scheme, and an index of them. It returns how many photographs there are.
func photograph(ctx context.Context, browser, folder string, subjects []subject) (int, error) {
	if err := os.MkdirAll(folder, 0o755); err != nil { //nolint:gosec // photographs of made-up people
		return 0, err
	}
	allocator, stop := chromedp.NewExecAllocator(ctx, append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(browser), chromedp.NoSandbox)...)
	defer stop()
	tab, closeTab := chromedp.NewContext(allocator)
	defer closeTab()
	var index strings.Builder
	index.WriteString("<!doctype html><meta charset=\"utf-8\"><title>Photographs</title>\n")
	files := 0
	for _, s := range subjects {
		fmt.Fprintf(&index, "<h2>%s</h2>\n", html.EscapeString(s.name))
		file, err := filepath.Abs(filepath.Join(folder, s.name+".html"))
		if err != nil {
			return files, err
		}
		if err := os.WriteFile(file, []byte(s.html), 0o644); err != nil { //nolint:gosec // as above
			return files, err
		}
		for _, width := range widths() {
			for _, scheme := range schemes() {
				name := fmt.Sprintf("%s-%d-%s.png", s.name, width, scheme)
				if err := chromedp.Do(tab, chromedp.EmulateViewport(width, 800), prefer(scheme), chromedp.Navigate("file://"+file)); err != nil {
					return files, fmt.Errorf("open %s: %w", name, err)
				}
				picture, err := chromedp.Run(tab, chromedp.FullScreenshot(100))
				if err != nil {
					return files, fmt.Errorf("photograph %s: %w", name, err)
				}
				if err := os.WriteFile(filepath.Join(folder, name), picture, 0o644); err != nil { //nolint:gosec // as above
					return files, err
				}
				files++
				fmt.Fprintf(&index, "<img src=\"%s\" alt=\"%[1]s\" style=\"border:1px solid\">\n", html.EscapeString(name))
			}
		}
	}
	return files, os.WriteFile(filepath.Join(folder, "index.html"), []byte(index.String()), 0o644) //nolint:gosec // as above
}

// prefer has the browser prefer a colour scheme.
func prefer(scheme string) chromedp.Action[chromedp.Void] {
	return chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}},
		})
		return err
	})
}
