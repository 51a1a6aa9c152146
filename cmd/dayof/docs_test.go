package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	heading    = regexp.MustCompile(`(?m)^#{1,6} +(.+?) *$`)
	link       = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	citedTitle = regexp.MustCompile(`\b([a-z]+\.md)\)?, "([^"]+)"`)           // docs/design.md, "Webhooks"
	citedNth   = regexp.MustCompile(`\b([a-z]+\.md)\)?(?:,? section)? (\d+)`) // design.md, section 7
)

// TestCitedSections wants every page and section of ours that pages and comments cite. Sections are cited by their titles:
// a number is right only until the next section.
func TestCitedSections(t *testing.T) {
	t.Parallel()
	const root = "../.."
	titles := map[string]map[string]bool{} // by the page's name
	var texts []string
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && (entry.Name() == "gen" || entry.Name() == "third_party" || entry.Name() == "node_modules" || entry.Name() == ".git" || entry.Name() == ".dayof"):
			return filepath.SkipDir
		case strings.HasSuffix(path, ".md"):
			names := map[string]bool{}
			for _, match := range heading.FindAllStringSubmatch(readFile(t, path), -1) {
				names[match[1]] = true
			}
			titles[entry.Name()] = names
			texts = append(texts, path)
		case strings.HasSuffix(path, ".go"), strings.HasSuffix(path, ".proto"), strings.HasSuffix(path, ".sql"), strings.HasSuffix(path, ".yml"):
			texts = append(texts, path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range texts {
		text := readFile(t, path)
		if path == filepath.Join(root, "cmd/dayof/docs_test.go") {
			continue
		}
		for _, match := range citedTitle.FindAllStringSubmatch(text, -1) {
			if page, known := titles[match[1]]; known && !page[match[2]] {
				t.Errorf("%s cites %s, which has no section %q", path, match[1], match[2])
			}
		}
		for _, match := range citedNth.FindAllStringSubmatch(text, -1) {
			if _, known := titles[match[1]]; known {
				t.Errorf("%s cites section %s of %s by its number", path, match[2], match[1])
			}
		}
		if !strings.HasSuffix(path, ".md") {
			continue
		}
		for _, match := range link.FindAllStringSubmatch(text, -1) {
			file, fragment, _ := strings.Cut(match[1], "#")
			if strings.Contains(file, "://") || strings.HasPrefix(file, "mailto:") {
				continue
			}
			target := filepath.Join(filepath.Dir(path), file)
			if file == "" {
				target = path
			}
			if _, err := os.Stat(target); err != nil {
				t.Errorf("%s links to %s, which is not there", path, match[1])
			} else if fragment != "" && !hasAnchor(titles[filepath.Base(target)], fragment) {
				t.Errorf("%s links to %s, which has no such section", path, match[1])
			}
		}
	}
}

// hasAnchor says whether one of the titles has the fragment as GitHub makes it.
func hasAnchor(titles map[string]bool, fragment string) bool {
	unfit := regexp.MustCompile(`[^\p{L}\p{N} _-]`)
	for title := range titles {
		if strings.ReplaceAll(unfit.ReplaceAllString(strings.ToLower(title), ""), " ", "-") == fragment {
			return true
		}
	}
	return false
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestProjectPages wants what everybody looks for first.
func TestProjectPages(t *testing.T) {
	t.Parallel()
	for name, wants := range map[string][]string{
		"LICENSE":      {"Apache License", "Version 2.0, January 2004", "END OF TERMS AND CONDITIONS"},
		"CHANGELOG.md": {"## Unreleased"},
		"SECURITY.md":  {"private", "Supported versions"},
		"README.md":    {"LICENSE", "CHANGELOG.md", "SECURITY.md"},
	} {
		text := readFile(t, filepath.Join("../..", name))
		for _, want := range wants {
			if !strings.Contains(text, want) {
				t.Errorf("%s lacks %q", name, want)
			}
		}
	}
}
