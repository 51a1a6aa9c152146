package personal_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/dayof/dayof/internal/personal"
)

func TestText(t *testing.T) {
	t.Parallel()
	const name = "Erika"
	text := personal.Text(name)
	holder := struct {
		Name  personal.Text
		Names []personal.Text
		ByKey map[string]personal.Text
		At    *personal.Text
	}{text, []personal.Text{text}, map[string]personal.Text{"k": text}, &text}

	var logged bytes.Buffer
	for _, handler := range []slog.Handler{slog.NewTextHandler(&logged, nil), slog.NewJSONHandler(&logged, nil)} {
		slog.New(handler).Info("buyer", slog.Any("name", text), slog.Any("error", fmt.Errorf("no seat for %s", text)))
	}
	slog.New(slog.NewTextHandler(&logged, nil)).Info("buyer", slog.Any("holder", holder))
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		fmt.Fprintf(&logged, verb+verb, text, holder)
	}
	fmt.Fprint(&logged, errors.Join(fmt.Errorf("%w: %v", errors.New("refused"), text)))
	for _, leak := range []string{name, fmt.Sprintf("%x", name)} {
		if strings.Contains(logged.String(), leak) {
			t.Errorf("%s is logged:\n%s", leak, logged.String())
		}
	}
	if encoded, err := json.Marshal(text); err != nil || string(encoded) != `"Erika"` {
		t.Errorf("JSON is %s, %v: what is stored must be the text", encoded, err)
	}
	if fmt.Sprint(personal.Text("")) != "" {
		t.Error("an absent text shows something")
	}
}
