package smtp_test

import (
	"net/mail"
	"strings"
	"testing"

	"github.com/dayof/dayof/internal/chassis/smtp"
)

func TestParseAddress(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]string{
		"erika@example.org":                      "erika@example.org",
		"o'neil+a=b@mail.example.org":            "o'neil+a=b@mail.example.org",
		"taro..yamada@docomo.ne.jp":              `"taro..yamada"@docomo.ne.jp`,
		"taro.@docomo.ne.jp":                     `"taro."@docomo.ne.jp`,
		`"taro..yamada"@docomo.ne.jp`:            `"taro..yamada"@docomo.ne.jp`,
		"root@localhost":                         "root@localhost",
		"":                                       "",
		"erika":                                  "",
		"@example.org":                           "",
		"erika@":                                 "",
		"erika@example..org":                     "",
		"erika@example-.org":                     "",
		"erika@[127.0.0.1]":                      "",
		"erika@münchen.example":                  "",
		"erika beispiel@example.org":             "",
		"erika@example.org\r\nRCPT TO:x":         "",
		"<erika@example.org>":                    "",
		"a@b@example.org":                        "",
		strings.Repeat("a", 65) + "@example.org": "",
		"erika@" + strings.Repeat(strings.Repeat("a", 60)+".", 5) + "org": "",
	} {
		got, err := smtp.ParseAddress(address)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%q becomes %q, %v; want %q", address, got, err, want)
		}
		if err != nil && address != "" && strings.Contains(err.Error(), address) {
			t.Errorf("%q stands in its error: %v", address, err)
		}
	}
}

// FuzzParseAddress: what is taken is what the standard library reads, and stays the same when it is read again.
func FuzzParseAddress(f *testing.F) {
	f.Add("erika@example.org")
	f.Add("taro..yamada@docomo.ne.jp")
	f.Add(`"a..b"@example.org`)
	f.Fuzz(func(t *testing.T, text string) {
		written, err := smtp.ParseAddress(text)
		if err != nil {
			return
		}
		parsed, err := mail.ParseAddress(written)
		if err != nil || parsed.Name != "" || strings.ContainsAny(written, "\r\n <>,;") {
			t.Fatalf("%q becomes %q: %v", text, written, err)
		}
		if again, err := smtp.ParseAddress(written); err != nil || again != written {
			t.Fatalf("%q becomes %q, then %q: %v", text, written, again, err)
		}
	})
}
