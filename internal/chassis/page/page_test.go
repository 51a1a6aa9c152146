package page_test

import (
	"encoding/base64"
	"math"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/structpb"

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

func TestList(t *testing.T) {
	t.Parallel()
	filter := structpb.NewStringValue
	text := page.Token(page.List("orders", filter("paid")), page.Cursor{ID: "o1"})
	if got, err := page.Parse(text, page.List("orders", filter("paid")), page.AfterAll); err != nil || got.ID != "o1" {
		t.Errorf("the same filter: %v, %v", got, err)
	}
	for name, list := range map[string]string{
		"another filter": page.List("orders", filter("refunded")),
		"no filter":      page.List("orders", (*structpb.Value)(nil)),
		"another list":   page.List("events", filter("paid")),
	} {
		_, err := page.Parse(text, list, page.AfterAll)
		if problem.Code(err) != connect.CodeInvalidArgument || !strings.Contains(err.Error(), "page_token: must be the next_page_token of the same list with the same filter") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if page.List("orders", (*structpb.Value)(nil)) != page.List("orders", &structpb.Value{}) {
		t.Error("an absent filter is not an empty one")
	}
}

func TestSize(t *testing.T) {
	t.Parallel()
	if page.Size(0) != page.SizeDefault || page.Size(7) != 7 {
		t.Errorf("sizes %d and %d", page.Size(0), page.Size(7))
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
