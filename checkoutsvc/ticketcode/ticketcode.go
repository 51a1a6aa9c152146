// Package ticketcode signs and reads the codes of tickets, as they stand in QR codes:
//
//	DAYOF1.<key version>.<ticket id>.<event id>.<signature, base64url without padding>
//
// The signature is Ed25519 (RFC 8032) over everything before the last dot. It is deterministic, so a ticket has one
// code per key. A code proves that we issued the ticket for the event, offline too; whether the ticket admits is
// another question.
package ticketcode

import (
	"crypto/ed25519"
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"

	"github.com/dayof/dayof/internal/chassis/config"
	"github.com/dayof/dayof/internal/chassis/keyring"
)

// prefix names the format of a ticket code, so that a scanner distinguishes it from other QR codes at once.
const prefix = "DAYOF1"

// Keys are the keys that sign ticket codes, by version.
type Keys struct {
	private map[int32]ed25519.PrivateKey
	newest  int32
}

// NewKeys takes the seeds of the keys, each as version:seed with base64 of 32 bytes. The newest signs, all verify.
func NewKeys(seeds []config.Secret) (Keys, error) {
	ring, err := keyring.Parse(seeds, 1)
	if err != nil {
		return Keys{}, fmt.Errorf("DAYOF_CHECKOUT_TICKET_CODE_KEYS: %w", err)
	}
	k := Keys{private: map[int32]ed25519.PrivateKey{}, newest: int32(ring.Newest())}
	for _, version := range ring.Versions() {
		text, _ := ring.Secret(version)
		seed, err := base64.StdEncoding.DecodeString(text)
		if err != nil || len(seed) != ed25519.SeedSize {
			return Keys{}, fmt.Errorf("DAYOF_CHECKOUT_TICKET_CODE_KEYS: key %d is not base64 of %d bytes", version, ed25519.SeedSize)
		}
		k.private[int32(version)] = ed25519.NewKeyFromSeed(seed)
	}
	return k, nil
}

// Current is the version of the key that signs new tickets.
func (k Keys) Current() int32 { return k.newest }

// Sign returns the code of a ticket. A version without a key is an impossible state: keys are only ever added.
func (k Keys) Sign(ticketID, eventID string, version int32) string {
	key := k.private[version]
	if key == nil {
		panic(fmt.Sprintf("ticket %s was signed with key %d, which is not configured any more", ticketID, version))
	}
	text := prefix + "." + strconv.Itoa(int(version)) + "." + ticketID + "." + eventID
	return text + "." + base64.RawURLEncoding.EncodeToString(ed25519.Sign(key, []byte(text)))
}

// SignPackage signs what devices take along to check codes without a connection, with the newest key, of which it returns the version.
func (k Keys) SignPackage(b []byte) (signature []byte, version int32) {
	return ed25519.Sign(k.private[k.newest], packageText(b)), k.newest
}

// packagePrefix keeps signatures of packages and of codes apart.
const packagePrefix = "dayof-offline-package-1\x00"

func packageText(b []byte) []byte { return append([]byte(packagePrefix), b...) }

// Public returns the keys that verify codes, by version.
func (k Keys) Public() PublicKeys {
	public := PublicKeys{}
	for version, private := range k.private {
		public[version], _ = private.Public().(ed25519.PublicKey)
	}
	return public
}

// Verify returns the ticket and the event of a code; false if we did not sign it.
func (k Keys) Verify(code string) (ticketID, eventID string, ok bool) { return k.Public().Verify(code) }

// PublicKeys verify codes, by the version of the key: what AdmissionService.GetCodeKeys returns to scanners.
type PublicKeys map[int32]ed25519.PublicKey

// Verify returns the ticket and the event of a code; false if none of the keys signed it. It needs no connection.
func (k PublicKeys) Verify(code string) (ticketID, eventID string, ok bool) {
	c, ok := k.Read(code)
	return c.TicketID, c.EventID, ok
}

// Code is what a code says.
type Code struct {
	TicketID, EventID string
	KeyVersion        int32 // of the key that it says signed it; 0 when it is no code of this form
}

// Read returns what a code says; false if none of the keys signed it: then only the version of the key is known, as the code has it.
func (k PublicKeys) Read(code string) (Code, bool) {
	parts := strings.Split(strings.TrimSpace(code), ".")
	if len(parts) != 5 || parts[0] != prefix {
		return Code{}, false
	}
	version, err := strconv.ParseInt(parts[1], 10, 32)
	if err != nil || version < 1 || parts[1] != strconv.FormatInt(version, 10) {
		return Code{}, false
	}
	unsigned := Code{KeyVersion: int32(version)}
	key := k[int32(version)]
	signature, err := base64.RawURLEncoding.Strict().DecodeString(parts[4])
	if key == nil || err != nil || !ed25519.Verify(key, []byte(strings.Join(parts[:4], ".")), signature) {
		return unsigned, false
	}
	return Code{TicketID: parts[2], EventID: parts[3], KeyVersion: int32(version)}, true
}

// VerifyPackage says whether the key of a version signed an offline package. A device must have had that key before it reads the package.
func (k PublicKeys) VerifyPackage(b, signature []byte, version int32) bool {
	key := k[version]
	return key != nil && ed25519.Verify(key, packageText(b), signature)
}
