package ledgersvc

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"

	"github.com/dayof/dayof/internal/chassis/problem"
)

// pageToken is where a page ended.
type pageToken struct {
	transactionID int64
	position      int16
}

// pageForm begins with a version; tokens of another form are refused.
const pageForm = "1 %d %d %s"

// String writes the token of a page of list. A digest of the list is part of it, so that a token of one list does not
// fit another.
func (t pageToken) String(list string) string {
	digest := sha256.Sum256([]byte(list))
	return base64.RawURLEncoding.EncodeToString(
		fmt.Appendf(nil, pageForm, t.transactionID, t.position, hex.EncodeToString(digest[:8])))
}

// parsePageToken reads what String wrote for the same list; the empty text is the beginning.
//
// Problems: INVALID_FIELD for anything else.
func parsePageToken(text, list string) (pageToken, error) {
	if text == "" {
		return pageToken{position: -1}, nil
	}
	raw, _ := base64.RawURLEncoding.DecodeString(text)
	var (
		t      pageToken
		digest string
	)
	_, err := fmt.Sscanf(string(raw), pageForm, &t.transactionID, &t.position, &digest)
	if err != nil || t.String(list) != text {
		return pageToken{}, problem.InvalidField("page_token", "must be the next_page_token of the same list")
	}
	return t, nil
}
