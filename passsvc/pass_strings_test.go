package passsvc

import (
	"strings"
	"testing"

	"github.com/dayof/dayof/internal/locale"
)

func TestPhrasebooks(t *testing.T) {
	t.Parallel()
	for _, language := range locale.Languages() {
		seen := map[string]phrase{}
		for i, text := range phrasebook(language) {
			if text == "" {
				t.Errorf("%s: phrase %d is missing", language, i)
			}
			// Translations are found by the text, so two phrases of a language must not read the same.
			if before, twice := seen[text]; twice && text != "%@" && phrase(i) < phraseDescription {
				t.Errorf("%s: phrases %d and %d are both %q", language, before, i, text)
			}
			seen[text] = phrase(i)
			isMessage := phrase(i) >= phraseNameChanged && phrase(i) <= phraseDescription
			if strings.Contains(text, "%@") != isMessage {
				t.Errorf("%s: phrase %d is %q", language, i, text)
			}
		}
	}
}

func TestLanguageOf(t *testing.T) {
	t.Parallel()
	for tag, want := range map[string]string{
		"de": "de", "de-AT": "de", "DE_at": "de", "fr-CA": "fr", "": "en", "tr": "en", "english": "en", "nl-x-y": "nl",
	} {
		if got := locale.Nearest(tag); got != want {
			t.Errorf("%q: %q, want %q", tag, got, want)
		}
	}
}
