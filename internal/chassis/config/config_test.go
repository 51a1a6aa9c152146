package config_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/dayof/dayof/internal/chassis/config"
)

func loader(environ map[string]string) *config.Loader {
	return config.New(func(name string) string { return environ[name] })
}

func TestLoader(t *testing.T) {
	t.Parallel()

	t.Run("values and defaults", func(t *testing.T) {
		t.Parallel()
		l := loader(map[string]string{
			"DAYOF_NAME": " box ", "DAYOF_WAIT": "1m30s", "DAYOF_COUNT": "7", "DAYOF_FAST": "true", "DAYOF_LEDGER_URL": "http://127.0.0.1:1/x",
		})
		got := []any{
			l.String("DAYOF_NAME", "d", ""), l.Duration("DAYOF_WAIT", 0, ""), l.Int("DAYOF_COUNT", 0, ""),
			l.Bool("DAYOF_FAST", false, ""), l.URL("DAYOF_LEDGER_URL", "", ""), l.StringRequired("DAYOF_NAME", ""), l.URLRequired("DAYOF_LEDGER_URL", ""),
			l.String("DAYOF_A", "d", ""), l.Duration("DAYOF_B", time.Second, ""), l.Int("DAYOF_C", 3, ""),
			l.Bool("DAYOF_D", true, ""), l.URL("DAYOF_E", "http://d", ""),
		}
		want := []any{
			"box", 90 * time.Second, 7, true, "http://127.0.0.1:1/x", "box", "http://127.0.0.1:1/x",
			"d", time.Second, 3, true, "http://d",
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
		if err := l.Err(); err != nil {
			t.Error(err)
		}
	})

	t.Run("all problems at once, without secrets", func(t *testing.T) {
		t.Parallel()
		empty := filepath.Join(t.TempDir(), "empty")
		if err := os.WriteFile(empty, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		l := loader(map[string]string{
			"DAYOF_WAIT": "soon", "DAYOF_BACK": "-1s", "DAYOF_COUNT": "many", "DAYOF_FAST": "maybe", "DAYOF_URL": "//user:geheim@host",
			"DAYOF_BOTH": "geheim", "DAYOF_BOTH_FILE": empty, "DAYOF_EMPTY_FILE": empty, "DAYOF_GONE_FILE": "/nowhere/geheim-free",
			"DAYOF_COMMAS": " ,,",
		})
		l.Duration("DAYOF_WAIT", 0, "")
		l.Duration("DAYOF_BACK", 0, "")
		l.Int("DAYOF_COUNT", 0, "")
		l.Bool("DAYOF_FAST", false, "")
		l.URL("DAYOF_URL", "", "")
		l.Secret("DAYOF_BOTH", "")
		l.Secret("DAYOF_EMPTY", "")
		l.SecretList("DAYOF_GONE", "")
		l.SecretRequired("DAYOF_KEY", "the key")
		l.StringRequired("DAYOF_CITY", "where")
		l.URLRequired("DAYOF_LEDGER_URL", "the books")
		l.SecretListRequired("DAYOF_KEYS", "the keys")
		l.SecretListRequired("DAYOF_COMMAS", "more keys")
		l.Strict([]string{"DAYOF_WAIT=soon", "DAYOF_WAYT=1s", "DAYOF_EMPTY_FILE=" + empty, "PATH=/bin", "DAYOF_CITY_FILE=x"})
		err := l.Err()
		if err == nil {
			t.Fatal("no error")
		}
		problems := strings.Split(err.Error(), "\n")
		want := []string{
			`DAYOF_WAIT: "soon"`, `DAYOF_BACK: "-1s"`, `DAYOF_COUNT: "many"`, `DAYOF_FAST: "maybe"`, "DAYOF_URL: not an absolute URL",
			"DAYOF_BOTH and DAYOF_BOTH_FILE are both set", "DAYOF_EMPTY_FILE: ", "DAYOF_GONE_FILE: ",
			"DAYOF_KEY (or DAYOF_KEY_FILE) is required: the key", "DAYOF_CITY is required: where", "DAYOF_LEDGER_URL is required: the books",
			"DAYOF_KEYS (or DAYOF_KEYS_FILE) is required: the keys", "DAYOF_COMMAS is required and names no secret: more keys",
			"DAYOF_WAYT: no such setting", "DAYOF_CITY_FILE: no such setting",
		}
		if len(problems) != len(want) {
			t.Fatalf("%d problems, want %d:\n%v", len(problems), len(want), err)
		}
		for i, prefix := range want {
			if !strings.HasPrefix(problems[i], prefix) {
				t.Errorf("problem %q, want %q", problems[i], prefix)
			}
		}
		if strings.Contains(strings.ReplaceAll(err.Error(), "geheim-free", ""), "geheim") {
			t.Errorf("a secret is in it: %v", err)
		}
	})

	t.Run("settings for the docs", func(t *testing.T) {
		t.Parallel()
		l := loader(map[string]string{"DAYOF_TOKEN": "t"})
		l.Duration("DAYOF_WAIT", 2*time.Second, "How long to wait.")
		l.Secret("DAYOF_TOKEN", "The operator's.")
		l.StringRequired("DAYOF_CITY", "Where.")
		l.Duration("DAYOF_WAIT", 2*time.Second, "How long to wait.") // asked for twice
		want := []config.Setting{
			{Name: "DAYOF_WAIT", Kind: config.KindDuration, Default: "2s", Doc: "How long to wait."},
			{Name: "DAYOF_TOKEN", Kind: config.KindSecret, Doc: "The operator's.", Set: true},
			{Name: "DAYOF_CITY", Kind: config.KindString, Doc: "Where.", Required: true},
		}
		if diff := cmp.Diff(want, l.Settings()); diff != "" {
			t.Error(diff)
		}
	})
}

func TestSecret(t *testing.T) {
	t.Parallel()

	t.Run("comes from the environment or a file", func(t *testing.T) {
		t.Parallel()
		file := filepath.Join(t.TempDir(), "secret")
		if err := os.WriteFile(file, []byte("old , new,\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		l := loader(map[string]string{"DAYOF_A": " geheim\n", "DAYOF_B_FILE": file})
		if got := l.Secret("DAYOF_A", ""); got.Reveal() != "geheim" || !got.IsSet() {
			t.Errorf("from the environment: %q", got.Reveal())
		}
		if got := l.SecretRequired("DAYOF_B", "").Reveal(); got != "old , new," {
			t.Errorf("from a file: %q", got)
		}
		list := l.SecretList("DAYOF_B", "")
		if len(list) != 2 || list[0].Reveal() != "old" || list[1].Reveal() != "new" {
			t.Errorf("list of %d", len(list))
		}
		if got := l.Secret("DAYOF_C", ""); got.IsSet() || got.Reveal() != "" || got.String() != "" {
			t.Error("an absent secret is there")
		}
		if list := l.SecretList("DAYOF_C", ""); len(list) != 0 {
			t.Errorf("absent list of %d", len(list))
		}
		if err := l.Err(); err != nil {
			t.Error(err)
		}
	})

	t.Run("does not show itself", func(t *testing.T) {
		t.Parallel()
		type inner struct{ token config.Secret }
		value := struct {
			Token  config.Secret
			List   []config.Secret
			Map    map[string]config.Secret
			hidden inner
		}{Token: config.NewSecret("geheim")}
		value.List = []config.Secret{value.Token}
		value.Map = map[string]config.Secret{"a": value.Token}
		value.hidden.token = value.Token
		var out bytes.Buffer
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
			fmt.Fprintf(&out, verb+"\n", value)
			fmt.Fprintf(&out, verb+"\n", &value)
			fmt.Fprintf(&out, verb+"\n", value.Token)
			fmt.Fprintf(&out, verb+"\n", value.hidden)
		}
		fmt.Fprintln(&out, fmt.Errorf("token %v", value.Token))
		slog.New(slog.NewJSONHandler(&out, nil)).Info("m", slog.Any("token", value.Token), slog.Any("all", value))
		slog.New(slog.NewTextHandler(&out, nil)).Info("m", slog.Any("token", value.Token), slog.Any("all", value))
		encoded, err := json.Marshal(value)
		if err != nil {
			t.Fatal(err)
		}
		out.Write(encoded)
		for _, leak := range []string{"geheim", "67656865696d", "Z2VoZWlt"} {
			if strings.Contains(out.String(), leak) {
				t.Errorf("%q is in\n%s", leak, out.String())
			}
		}
		if !strings.Contains(out.String(), `"Token":"[redacted]"`) {
			t.Errorf("it does not say that it is there:\n%s", out.String())
		}
	})
}
