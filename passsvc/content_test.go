package passsvc

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

// TestContentIsNotLogged: the holder's name is in no form that fmt or slog write.
func TestContentIsNotLogged(t *testing.T) {
	t.Parallel()
	c := content{TicketID: "ticket", HolderName: "Erika"}
	var logged bytes.Buffer
	for _, handler := range []slog.Handler{slog.NewTextHandler(&logged, nil), slog.NewJSONHandler(&logged, nil)} {
		slog.New(handler).Info("pass", slog.Any("content", c), slog.Any("pointer", &c))
	}
	fmt.Fprintf(&logged, "%v %+v %#v %+v", c, c, c, &c)
	if strings.Contains(logged.String(), "Erika") {
		t.Errorf("the holder is logged:\n%s", logged.String())
	}
}

func TestOneLine(t *testing.T) {
	t.Parallel()
	for given, want := range map[string]string{
		"a\u202eb\u2066c": "abc", "a\u2028b\x1bc\nd": "a b c d", "Żółć بثينة\n": "Żółć بثينة",
	} {
		if got := oneLine(given); got != want {
			t.Errorf("%q becomes %q, want %q", given, got, want)
		}
	}
	if got := manyLines("a\nb\u202ec\x1bd"); got != "a\nbcd" {
		t.Errorf("lines become %q", got)
	}
}
