// Package page writes and reads page tokens: where a page of a list ended, so that the next one goes on from there.
package page

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/dayof/dayof/internal/chassis/problem"
)

// token is what a page token holds. It is no secret and no authority: a page shows nothing that its caller may not see.
type token[P any] struct {
	List []byte `json:"l"` // a digest of the list that it was made for
	Last P      `json:"p"`
}

// digestSize is how much of a digest distinguishes one list from another.
const digestSize = 8

// SizeDefault is the size of a page when the request does not say, where the contract of the list says nothing else.
const SizeDefault = 50

// Size is the size that was asked for, or the default. The schema of a request has the largest.
func Size(asked int32) int32 {
	if asked == 0 {
		return SizeDefault
	}
	return asked
}

// Cursor is where a page ended of a list that is sorted by time and id.
type Cursor struct {
	Time time.Time `json:"t"`
	ID   string    `json:"i"`
}

// AfterAll is after every row: where a list begins that shows the newest first.
var AfterAll = Cursor{Time: time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)}

// List names a list with its filter, for Token and Parse: the request's filter message, or the request itself without
// page_size and page_token. An absent filter is an empty one. The bytes of a filter may differ between builds; a token
// of another release is refused then, which sends its caller to the first page.
func List(name string, filter proto.Message) string {
	encoded, err := proto.MarshalOptions{Deterministic: true}.Marshal(filter)
	if err != nil {
		panic("a filter cannot be written: " + err.Error()) // it was read from the wire
	}
	return name + "\x00" + string(encoded)
}

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
		return beginning, problem.InvalidField("page_token", "must be the next_page_token of the same list with the same filter; start again without one")
	}
	return t.Last, nil
}
