package page_test

import (
	"encoding/base64"
	"math"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"

	"github.com/dayof/dayof/internal/chassis/page"
	"github.com/dayof/dayof/internal/chassis/problem"
)

type position struct {
	Time time.Time
	ID   int64
}

func TestToken(t *testing.T) {
	t.Parallel()
	want := position{Time: time.Date(2026, 5, 4, 3, 2, 1, 987654000, time.UTC), ID: math.MaxInt64}
	text := page.Token("orders of g1", want)
	if strings.ContainsAny(text, "+/=") {
		t.Errorf("%s does not fit a URL", text)
	}
	if got, err := page.Parse(text, "orders of g1", position{}); err != nil || got != want {
		t.Errorf("read %v, %v; want %v", got, err, want)
	}
	if got, err := page.Parse("", "orders of g1", want); err != nil || got != want {
		t.Errorf("the first page: %v, %v", got, err)
	}
}

func TestParseRefuses(t *testing.T) {
	t.Parallel()
	good := page.Token("orders of g1", position{ID: 7})
	raw, err := base64.RawURLEncoding.DecodeString(good)
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"another list":     page.Token("orders of g2", position{ID: 7}),
		"another shape":    page.Token("orders of g1", "seven"),
		"no base64":        "%%%",
		"padding":          base64.URLEncoding.EncodeToString(raw) + "=",
		"cut":              good[:len(good)/2],
		"no JSON":          base64.RawURLEncoding.EncodeToString([]byte("7")),
		"null":             base64.RawURLEncoding.EncodeToString([]byte("null")),
		"spaces":           base64.RawURLEncoding.EncodeToString(append([]byte(" "), raw...)),
		"without a digest": base64.RawURLEncoding.EncodeToString([]byte(`{"p":{"ID":7}}`)),
	} {
		_, err := page.Parse(text, "orders of g1", position{})
		if problem.Code(err) != connect.CodeInvalidArgument || problem.Reason(err) != problem.ReasonInvalidField {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// FuzzParse never takes a token that we did not make, and never panics.
func FuzzParse(f *testing.F) {
	f.Add("")
	f.Add(page.Token("orders", position{ID: 1 << 62}))
	f.Fuzz(func(t *testing.T, text string) {
		got, err := page.Parse(text, "orders", position{ID: -1})
		if err == nil && text != "" && page.Token("orders", got) != text {
			t.Errorf("%q is taken for %v", text, got)
		}
		if _, other := page.Parse(text, "events", position{}); err == nil && other == nil && text != "" {
			t.Errorf("%q fits two lists", text)
		}
	})
}
