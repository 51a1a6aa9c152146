package keyring_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/dayof/dayof/internal/chassis/config"
	"github.com/dayof/dayof/internal/chassis/keyring"
)

func TestParse(t *testing.T) {
	t.Parallel()
	a, b := strings.Repeat("a", 32), strings.Repeat("b", 32)
	for name, tc := range map[string]struct {
		written  []string
		versions []int
		err      string
	}{
		"one without a version": {[]string{a}, []int{1}, ""},
		"in any order":          {[]string{"3:" + b, "1:" + a}, []int{1, 3}, ""},
		"none":                  {nil, nil, "no key is set"},
		"short":                 {[]string{"2:" + a[1:]}, nil, "key 2 is shorter than 32 characters"},
		"twice":                 {[]string{a, "1:" + b}, nil, "key 1 is there twice"},
		"version 0":             {[]string{"0:" + a}, nil, "version:secret"},
		"no number":             {[]string{"new:" + a}, nil, "version:secret"},
	} {
		var written []config.Secret
		for _, w := range tc.written {
			written = append(written, config.NewSecret(w))
		}
		keys, err := keyring.Parse(written, 32)
		if tc.err != "" {
			if err == nil || !strings.Contains(err.Error(), tc.err) || strings.Contains(err.Error(), a[1:]) {
				t.Errorf("%s: %v, want %q", name, err, tc.err)
			}
			continue
		}
		if err != nil || !slices.Equal(keys.Versions(), tc.versions) || keys.Newest() != slices.Max(tc.versions) {
			t.Errorf("%s: versions %v, newest %d, %v", name, keys.Versions(), keys.Newest(), err)
		}
		if _, ok := keys.Secret(2); ok {
			t.Errorf("%s: there is a key 2", name)
		}
		if secret, ok := keys.Secret(1); !ok || secret != a {
			t.Errorf("%s: key 1 is not what was written", name)
		}
	}
}
