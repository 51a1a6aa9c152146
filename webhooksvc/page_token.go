package webhooksvc

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"

	"google.golang.org/protobuf/proto"

	webhookv1 "github.com/dayof/dayof/gen/dayof/webhook/v1"
)

// pageTokenCheckSize is what is kept of the checksum; it finds slips, it is no secret: a page shows nothing that its
// caller may not see.
const pageTokenCheckSize = 8

var errPageToken = errors.New("page token malformed")

// newPageToken names the last event of a page, for the list with this filter.
func newPageToken(id int64, filter *webhookv1.WebhookEventFilter) string {
	token := binary.BigEndian.AppendUint64(nil, uint64(id))
	return base64.RawURLEncoding.EncodeToString(append(token, pageTokenCheck(token, filter)...))
}

// parsePageToken returns the id in the token, or an error if it was not made for this filter.
func parsePageToken(text string, filter *webhookv1.WebhookEventFilter) (int64, error) {
	token, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil || len(token) != 8+pageTokenCheckSize {
		return 0, errPageToken
	}
	id, check := token[:8], token[8:]
	if !bytes.Equal(check, pageTokenCheck(id, filter)) {
		return 0, errPageToken
	}
	return int64(binary.BigEndian.Uint64(id)), nil
}

func pageTokenCheck(id []byte, filter *webhookv1.WebhookEventFilter) []byte {
	// Deterministic bytes may differ between builds: then a token of the former release is refused, and the list is
	// begun anew. An absent filter is an empty one.
	encoded, err := proto.MarshalOptions{Deterministic: true}.Marshal(filter)
	if err != nil {
		encoded = nil // invalid UTF-8 is refused before a handler sees it
	}
	sum := sha256.Sum256(append(append([]byte("webhook events"), id...), encoded...))
	return sum[:pageTokenCheckSize]
}
