package waitingroom

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"
	"time"

	"connectrpc.com/connect"

	"github.com/dayof/dayof/internal/chassis/config"
	"github.com/dayof/dayof/internal/chassis/keyring"
	"github.com/dayof/dayof/internal/chassis/problem"
)

// Keys sign the tokens of places, wrp.<key version>.<event>.<number>.<expiry>.<HMAC-SHA256, base64url>, and of admissions, which begin with
// wra. The expiry is in Unix seconds, 0 for none. They are the keys of order access tokens, for another purpose.
type Keys struct{ ring keyring.Keys }

// keyLengthMin is that of order access tokens.
const keyLengthMin = 32

// admissionLifetime is for how long an admission token is good. A place that is admitted gets another one.
const admissionLifetime = 15 * time.Minute

const placePrefix, admissionPrefix = "wrp", "wra"

// NewKeys takes keys as ordertoken.NewKeys does.
func NewKeys(keys []config.Secret) (Keys, error) {
	ring, err := keyring.Parse(keys, keyLengthMin)
	if err != nil {
		return Keys{}, fmt.Errorf("DAYOF_CHECKOUT_ORDER_TOKEN_KEYS: %w", err)
	}
	return Keys{ring}, nil
}

// place is the place of a number of an event's room.
type place struct {
	eventID string
	number  int64
}

// errRequired is what StartCheckout answers without a good token.
var errRequired = problem.New(connect.CodeFailedPrecondition, "WAITING_ROOM_REQUIRED",
	"the event has a waiting room: call JoinWaitingRoom, wait until the place is admitted, and send its admission token")

// Admission returns the number that an admission token of an event lets in.
//
// Problems: WAITING_ROOM_REQUIRED.
func (k Keys) Admission(token, eventID string, now time.Time) (number int64, err error) {
	p, expire, ok := k.verify(admissionPrefix, token)
	if !ok || p.eventID != eventID || !now.Before(time.Unix(expire, 0)) {
		return 0, errRequired
	}
	return p.number, nil
}

func (k Keys) sign(prefix string, p place, expire int64) string {
	version := k.ring.Newest()
	key, _ := k.ring.Secret(version)
	unsigned := strings.Join([]string{prefix, strconv.Itoa(version), p.eventID, strconv.FormatInt(p.number, 10), strconv.FormatInt(expire, 10)}, ".")
	return unsigned + "." + base64.RawURLEncoding.EncodeToString(mac(key, unsigned))
}

func mac(key, unsigned string) []byte {
	m := hmac.New(sha256.New, []byte(key))
	m.Write([]byte("waiting-room/" + unsigned))
	return m.Sum(nil)
}

// verify reads a token; false if we did not sign it for that purpose.
func (k Keys) verify(prefix, token string) (p place, expire int64, ok bool) {
	at := strings.LastIndexByte(token, '.')
	fields := strings.Split(token, ".")
	if len(fields) != 6 || fields[0] != prefix {
		return p, 0, false
	}
	version, err := strconv.Atoi(fields[1])
	if err != nil {
		return p, 0, false
	}
	key, ok := k.ring.Secret(version)
	if !ok {
		return p, 0, false
	}
	sum, err := base64.RawURLEncoding.Strict().DecodeString(fields[5])
	if err != nil || !hmac.Equal(sum, mac(key, token[:at])) {
		return p, 0, false
	}
	p.eventID = fields[2]
	if p.number, err = strconv.ParseInt(fields[3], 10, 64); err != nil {
		return p, 0, false
	}
	expire, err = strconv.ParseInt(fields[4], 10, 64)
	return p, expire, err == nil
}
