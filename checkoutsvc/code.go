package checkoutsvc

import (
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/dayof/dayof/internal/chassis/config"
)

// codePrefix names the format of a ticket code, so that a scanner tells it from other QR codes at once.
const codePrefix = "DAYOF1"

// codes signs and reads ticket codes:
//
//	DAYOF1.<key version>.<ticket id>.<event id>.<signature, base64url without padding>
//
// The signature is Ed25519 (RFC 8032) over everything before the last dot. It is deterministic, so a ticket has one
// code per key. A code proves that we issued the ticket for the event, offline too; whether the ticket admits is
// another question.
type codes struct {
	keys []ed25519.PrivateKey // by version, from 1
}

// newCodes takes the seeds of the keys, base64 of 32 bytes each.
func newCodes(seeds []config.Secret) (codes, error) {
	if len(seeds) == 0 {
		return codes{}, errors.New("DAYOF_CHECKOUT_TICKET_CODE_KEYS is not set: tickets could not be signed")
	}
	var c codes
	for i, s := range seeds {
		seed, err := base64.StdEncoding.DecodeString(s.Reveal())
		if err != nil || len(seed) != ed25519.SeedSize {
			return codes{}, fmt.Errorf("DAYOF_CHECKOUT_TICKET_CODE_KEYS: key %d is not base64 of %d bytes", i+1, ed25519.SeedSize)
		}
		c.keys = append(c.keys, ed25519.NewKeyFromSeed(seed))
	}
	return c, nil
}

// current is the version of the key that signs new tickets.
func (c codes) current() int32 { return int32(len(c.keys)) }

// sign returns the code of a ticket. A version without a key is an impossible state: keys are only ever added.
func (c codes) sign(ticketID, eventID string, version int32) string {
	if version < 1 || int(version) > len(c.keys) {
		panic(fmt.Sprintf("ticket %s was signed with key %d, which is not configured any more", ticketID, version))
	}
	text := codePrefix + "." + strconv.Itoa(int(version)) + "." + ticketID + "." + eventID
	return text + "." + base64.RawURLEncoding.EncodeToString(ed25519.Sign(c.keys[version-1], []byte(text)))
}

// open returns the ticket and the event of a code; false if we did not sign it.
func (c codes) open(code string) (ticketID, eventID string, ok bool) {
	parts := strings.Split(strings.TrimSpace(code), ".")
	if len(parts) != 5 || parts[0] != codePrefix {
		return "", "", false
	}
	version, err := strconv.Atoi(parts[1])
	if err != nil || version < 1 || version > len(c.keys) || parts[1] != strconv.Itoa(version) {
		return "", "", false
	}
	signature, err := base64.RawURLEncoding.Strict().DecodeString(parts[4])
	if err != nil {
		return "", "", false
	}
	public, _ := c.keys[version-1].Public().(ed25519.PublicKey)
	if !ed25519.Verify(public, []byte(strings.Join(parts[:4], ".")), signature) {
		return "", "", false
	}
	return parts[2], parts[3], true
}
