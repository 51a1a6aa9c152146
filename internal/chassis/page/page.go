// Package page writes and reads page tokens: where a page of a list ended, so that the next one goes on from there.
package page

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"

	"github.com/dayof/dayof/internal/chassis/problem"
)

// token is what a page token holds. It is no secret and no authority: a page shows nothing that its caller may not see.
type token[P any] struct {
	List []byte `json:"l"` // a digest of the list that it was made for
	Last P      `json:"p"`
}

// digestSize is how much of a digest tells one list from another.
const digestSize = 8

// Token returns the token of the page that ended at the position last, which JSON can hold. The list names all that the
// order of rows follows from, filter included: a token of one list does not fit another.
func Token[P any](list string, last P) string {
	digest := sha256.Sum256([]byte(list))
	text, err := json.Marshal(token[P]{List: digest[:digestSize], Last: last})
	if err != nil {
		panic("a page token cannot be written: " + err.Error())
	}
	return base64.RawURLEncoding.EncodeToString(text)
}

// Parse returns the position that Token wrote for the same list; of the empty text, which asks for the first page, the
// given beginning.
//
// Problems: INVALID_FIELD for anything else, at page_token.
func Parse[P any](text, list string, beginning P) (P, error) {
	if text == "" {
		return beginning, nil
	}
	var t token[P]
	raw, err := base64.RawURLEncoding.DecodeString(text)
	if err == nil {
		err = json.Unmarshal(raw, &t)
	}
	if err != nil || Token(list, t.Last) != text {
		return beginning, problem.InvalidField("page_token", "must be the next_page_token of the same list; start again without one")
	}
	return t.Last, nil
}
