// Package doortoken makes the enrolment codes and the tokens of door devices. Both follow from the device's id and a key by HMAC-SHA256, so
// a repeated call returns them again although neither is stored; of a token the hash is.
//
//	XXXX-XXXX-YYYY-YYYY             an enrolment code: the handle X, by which its device is found, and the proof Y
//	ddt_<HMAC-SHA256, base64url>    a token
package doortoken

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"strings"

	"github.com/dayof/dayof/internal/chassis/config"
	"github.com/dayof/dayof/internal/chassis/keyring"
)

const (
	// keyLengthMin is the shortest key, in characters.
	keyLengthMin = 32
	// halfLength is the length of each half of a code, of 32 symbols: 40 bits. A code is tried ten times at most.
	halfLength = 8
	// symbols are those of codes: without I, L, O and U, which people misread (Crockford's base 32).
	symbols = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
	prefix  = "ddt_"
)

// tokenLength is the length of every token.
var tokenLength = len(prefix) + base64.RawURLEncoding.EncodedLen(sha256.Size)

// Keys are the keys that codes and tokens are made with.
type Keys struct {
	ring keyring.Keys
}

// NewKeys takes keys of at least 32 characters, each as version:key: those of order access tokens. The newest makes; codes and repeated
// enrolments of older ones hold too.
func NewKeys(keys []config.Secret) (Keys, error) {
	ring, err := keyring.Parse(keys, keyLengthMin)
	if err != nil {
		return Keys{}, fmt.Errorf("DAYOF_CHECKOUT_ORDER_TOKEN_KEYS: %w", err)
	}
	return Keys{ring}, nil
}

// NewHandle returns the first half of a code, by chance.
func NewHandle() string {
	random := make([]byte, halfLength)
	_, _ = rand.Read(random) // never fails
	return write(random)
}

// Code returns the enrolment code of a device.
func (k Keys) Code(handle, deviceID string) string {
	whole := handle + k.proof(k.ring.Newest(), handle, deviceID)
	return whole[:4] + "-" + whole[4:8] + "-" + whole[8:12] + "-" + whole[12:]
}

func (k Keys) proof(version int, handle, deviceID string) string {
	return write(k.mac(version, "door-enrolment/"+handle+"/"+deviceID)[:halfLength])
}

// Split returns both halves of a code as a person typed it; false if it is none.
func Split(code string) (handle, proof string, ok bool) {
	code = strings.NewReplacer("-", "", " ", "", "O", "0", "I", "1", "L", "1").Replace(strings.ToUpper(strings.TrimSpace(code)))
	if len(code) != 2*halfLength || strings.Trim(code, symbols) != "" {
		return "", "", false
	}
	return code[:halfLength], code[halfLength:], true
}

// Proves says whether a code's second half is that of a device.
func (k Keys) Proves(handle, proof, deviceID string) bool {
	for _, version := range k.ring.Versions() {
		if hmac.Equal([]byte(proof), []byte(k.proof(version, handle, deviceID))) {
			return true
		}
	}
	return false
}

// Tokens returns the token of a device, of the newest key first: a repeated enrolment finds the one that it got by its hash.
func (k Keys) Tokens(deviceID string) []string {
	var tokens []string
	for _, version := range k.ring.Versions() {
		tokens = append([]string{prefix + base64.RawURLEncoding.EncodeToString(k.mac(version, "door-token/"+deviceID))}, tokens...)
	}
	return tokens
}

// Hash is what is stored of a token; nil for a text that cannot be one.
func Hash(token string) []byte {
	if len(token) != tokenLength || !strings.HasPrefix(token, prefix) {
		return nil
	}
	sum := sha256.Sum256([]byte(token))
	return sum[:]
}

func (k Keys) mac(version int, text string) []byte {
	key, _ := k.ring.Secret(version)
	m := hmac.New(sha256.New, []byte(key))
	m.Write([]byte(text))
	return m.Sum(nil)
}

// write writes bytes as symbols, 5 bits of each.
func write(b []byte) string {
	out := make([]byte, len(b))
	for i, x := range b {
		out[i] = symbols[x&31]
	}
	return string(out)
}
