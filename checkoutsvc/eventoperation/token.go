package eventoperation

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"connectrpc.com/connect"

	"github.com/dayof/dayof/internal/chassis/config"
	"github.com/dayof/dayof/internal/chassis/idem"
	"github.com/dayof/dayof/internal/chassis/keyring"
	"github.com/dayof/dayof/internal/chassis/problem"
)

// Keys sign confirmation tokens: <key version>_<schedule number>_<expiry, in Unix seconds>_<HMAC-SHA256, base64url>. They are the keys of
// order access tokens, for another purpose.
type Keys struct{ ring keyring.Keys }

// keyLengthMin is that of order access tokens.
const keyLengthMin = 32

// tokenLifetime is how long a preview may be confirmed.
const tokenLifetime = 15 * time.Minute

// NewKeys takes keys as ordertoken.NewKeys does.
func NewKeys(keys []config.Secret) (Keys, error) {
	ring, err := keyring.Parse(keys, keyLengthMin)
	if err != nil {
		return Keys{}, fmt.Errorf("DAYOF_CHECKOUT_ORDER_TOKEN_KEYS: %w", err)
	}
	return Keys{ring}, nil
}

var (
	errToken = problem.New(connect.CodeFailedPrecondition, "CONFIRMATION_TOKEN_INVALID",
		"the confirmation token is missing, of another call or too old: call with preview, show what would change, and confirm with the token that it returns")
	errScheduleChanged = problem.New(connect.CodeFailedPrecondition, "EVENT_SCHEDULE_CHANGED",
		"the event was moved or canceled since the preview: call with preview again")
)

// plan is what a token confirms.
type plan struct {
	kind, eventID  string
	scheduleNumber int32 // of the event before
	// asked are the times as the request has them: what it leaves open follows from the schedule before.
	asked times
}

func (k Keys) sign(p plan, expire time.Time) string {
	version := k.ring.Newest()
	key, _ := k.ring.Secret(version)
	fields := []string{strconv.Itoa(version), strconv.Itoa(int(p.scheduleNumber)), strconv.FormatInt(expire.Unix(), 10)}
	return strings.Join(append(fields, base64.RawURLEncoding.EncodeToString(mac(key, p, expire.Unix()))), "_")
}

func mac(key string, p plan, expire int64) []byte {
	var doors time.Time
	if p.asked.doors != nil {
		doors = *p.asked.doors
	}
	m := hmac.New(sha256.New, []byte(key))
	m.Write([]byte("event-operation/"))
	m.Write(idem.Fingerprint(1, p.kind, p.eventID, p.scheduleNumber, p.asked.doors != nil, doors, p.asked.start, p.asked.end, expire))
	return m.Sum(nil)
}

// check says whether a token confirms a plan.
//
// Problems: CONFIRMATION_TOKEN_INVALID, EVENT_SCHEDULE_CHANGED.
func (k Keys) check(token string, p plan, now time.Time) error {
	fields := strings.SplitN(token, "_", 4)
	if len(fields) != 4 {
		return errToken
	}
	version, err1 := strconv.Atoi(fields[0])
	number, err2 := strconv.ParseInt(fields[1], 10, 32)
	expire, err3 := strconv.ParseInt(fields[2], 10, 64)
	sum, err4 := base64.RawURLEncoding.Strict().DecodeString(fields[3])
	key, known := k.ring.Secret(version)
	if errors.Join(err1, err2, err3, err4) != nil || !known {
		return errToken
	}
	current := p.scheduleNumber
	p.scheduleNumber = int32(number)
	switch {
	case !hmac.Equal(sum, mac(key, p, expire)), !now.Before(time.Unix(expire, 0)):
		return errToken
	case p.scheduleNumber != current:
		return errScheduleChanged
	}
	return nil
}
