package id_test

import (
	"strings"
	"testing"

	"github.com/dayof/dayof/internal/chassis/id"
)

func TestNew(t *testing.T) {
	t.Parallel()
	made := map[string]bool{}
	for range 1000 {
		got := id.New()
		if len(got) != 21 || strings.Trim(got, id.Alphabet) != "" {
			t.Errorf("id %q is not 21 letters and digits", got)
		}
		if made[got] {
			t.Errorf("id %q twice", got)
		}
		made[got] = true
	}
}
