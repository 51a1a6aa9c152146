package passsvc

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"hash"
	"strconv"
	"strings"
	"sync"

	"github.com/dayof/dayof/internal/chassis/config"
	"github.com/dayof/dayof/internal/chassis/keyring"
)

// keyRing derives the tokens of passes and links from secret keys, so that nothing in the database opens a pass. Keys
// have versions: a new one is added for new passes, and an old one is kept as long as devices hold passes made with it,
// because the token of an installed pass can never change.
type keyRing struct {
	keys   map[int]*sync.Pool // of hash.Hash: HMACs that know the key, which takes half of the work
	newest int
}

// What a key is used for goes into what it authenticates, so that no token opens what another is for.
const (
	purposeDevice = "device" // authenticationToken of a pass
	purposeTicket = "ticket" // link to the page of a ticket
	purposeOrder  = "order"  // link to the page of an order
)

// keyLengthMin is the shortest key: 32 characters of base64 are 192 bits.
const keyLengthMin = 32

// newKeyRing reads keys written as "version:secret"; see package keyring.
func newKeyRing(written []config.Secret) (keyRing, error) {
	keys, err := keyring.Parse(written, keyLengthMin)
	if err != nil {
		return keyRing{}, err
	}
	ring := keyRing{keys: map[int]*sync.Pool{}, newest: keys.Newest()}
	for _, version := range keys.Versions() {
		secret, _ := keys.Secret(version)
		ring.keys[version] = &sync.Pool{New: func() any { return hmac.New(sha256.New, []byte(secret)) }}
	}
	return ring, nil
}

// token returns the token of subject for a purpose: "<version>.<HMAC>". It fails when the key was removed too early.
func (r keyRing) token(version int, purpose, subject string) (string, error) {
	key, ok := r.keys[version]
	if !ok {
		return "", fmt.Errorf("token key %d is not configured, but passes were made with it", version)
	}
	return strconv.Itoa(version) + "." + mac(key, purpose, subject), nil
}

// check reports whether token is that of subject, and by which version of the key. It takes the same time for every
// wrong token of the right form.
func (r keyRing) check(token, purpose, subject string) (version int, ok bool) {
	number, sum, found := strings.Cut(token, ".")
	if !found {
		return 0, false
	}
	version, err := strconv.Atoi(number)
	if err != nil || strconv.Itoa(version) != number {
		return 0, false
	}
	key, known := r.keys[version]
	if !known {
		return 0, false
	}
	return version, hmac.Equal([]byte(sum), []byte(mac(key, purpose, subject)))
}

func mac(key *sync.Pool, purpose, subject string) string {
	h, ok := key.Get().(hash.Hash)
	if !ok {
		panic("passsvc: something else than an HMAC is among the keys")
	}
	defer key.Put(h)
	h.Reset()
	h.Write([]byte(purpose + "\x00" + subject))
	return base64.RawURLEncoding.EncodeToString(h.Sum(nil))
}

// deviceToken returns the authenticationToken of a pass.
func (r keyRing) deviceToken(version int, passType, serial string) (string, error) {
	return r.token(version, purposeDevice, passType+"\x00"+serial)
}

// checkDevice reports whether token is that of the pass.
func (r keyRing) checkDevice(token, passType, serial string) (version int, ok bool) {
	return r.check(token, purposeDevice, passType+"\x00"+serial)
}

// link returns "<subject>.<token>", which a page takes as its last path segment.
func (r keyRing) link(version int, purpose, subject string) (string, error) {
	token, err := r.token(version, purpose, subject)
	if err != nil {
		return "", err
	}
	return subject + "." + token, nil
}

// openLink returns the subject of a link that we made.
func (r keyRing) openLink(signed, purpose string) (subject string, ok bool) {
	subject, token, found := strings.Cut(signed, ".")
	if !found {
		return "", false
	}
	_, ok = r.check(token, purpose, subject)
	return subject, ok
}
