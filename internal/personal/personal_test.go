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
	for _, handler := range []slog.Handler{slog.NewTextHandler(&logged, nil), slog.NewJSONHandler(&logged, nil)} {
		slog.New(handler).Info("buyer", slog.Any("holder", holder), slog.Any("pointer", &holder), slog.Any("stored", personal.Stored(name)))
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		fmt.Fprintf(&logged, verb+verb, text, holder)
	}
	fmt.Fprint(&logged, errors.Join(fmt.Errorf("%w: %v", errors.New("refused"), text)))
	for _, leak := range []string{name, fmt.Sprintf("%x", name)} {
		if strings.Contains(logged.String(), leak) {
			t.Errorf("%s is logged:\n%s", leak, logged.String())
		}
	}
	fmt.Fprintf(&logged, "%v %+v %#v %q", personal.Stored(name), personal.Stored(name), personal.Stored(name), personal.Stored(name))
	if strings.Contains(logged.String(), name) {
		t.Errorf("%s is logged:\n%s", name, logged.String())
	}
	if encoded, err := json.Marshal(personal.Stored(name)); err != nil || string(encoded) != `"Erika"` {
		t.Errorf("JSON is %s, %v: what is stored must be the text", encoded, err)
	}
	var read personal.Text
	if err := json.Unmarshal([]byte(`"Erika"`), &read); err != nil || read != name {
		t.Errorf("JSON is not read: %v", err)
	}
	if fmt.Sprint(personal.Text("")) != "" {
		t.Error("an absent text shows something")
	}
}
