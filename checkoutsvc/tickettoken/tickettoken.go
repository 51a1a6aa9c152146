// Package tickettoken signs and checks tokens that open one ticket or one transfer, and nothing else:
//
//	dtt_<key version>_<HMAC-SHA256 of the ticket id, base64url>      a ticket access token, of who holds the ticket
//	dtr_<key version>_<HMAC-SHA256 of the transfer id, base64url>    a transfer token, of whom the ticket is offered to
//
// They are the same for the same id, so a repeated call returns them again. A ticket that replaces another one has a token of its own.
package tickettoken

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/dayof/dayof/internal/chassis/config"
	"github.com/dayof/dayof/internal/chassis/keyring"
)

// keyLengthMin is the shortest key, in characters.
const keyLengthMin = 32

// kind is what a token opens.
type kind struct{ prefix, purpose string }

var (
	ticket   = kind{"dtt_", "ticket-access/"}
	transfer = kind{"dtr_", "ticket-transfer/"}
)

// Keys are the keys that sign tokens, by version.
type Keys struct {
	ring     keyring.Keys
	lifetime time.Duration
}

// NewKeys takes keys of at least 32 characters, each as version:key: those of order access tokens. The newest signs, all verify. A token
// opens its ticket until lifetime after the ticket was made; 0: for ever.
func NewKeys(keys []config.Secret, lifetime time.Duration) (Keys, error) {
	ring, err := keyring.Parse(keys, keyLengthMin)
	if err != nil {
		return Keys{}, fmt.Errorf("DAYOF_CHECKOUT_ORDER_TOKEN_KEYS: %w", err)
	}
	return Keys{ring, lifetime}, nil
}

// Ticket returns the token of a ticket.
func (k Keys) Ticket(ticketID string) string { return k.sign(ticket, ticketID) }

// Transfer returns the token of a transfer.
func (k Keys) Transfer(transferID string) string { return k.sign(transfer, transferID) }

// OpensTicket says whether token opens the ticket, which was made at createTime.
func (k Keys) OpensTicket(token, ticketID string, createTime, now time.Time) bool {
	return k.opens(ticket, token, ticketID) && (k.lifetime <= 0 || now.Before(createTime.Add(k.lifetime)))
}

// OpensTransfer says whether token opens the transfer.
func (k Keys) OpensTransfer(token, transferID string) bool {
	return k.opens(transfer, token, transferID)
}

func (k Keys) sign(as kind, id string) string {
	version := k.ring.Newest()
	key, _ := k.ring.Secret(version)
	return as.prefix + strconv.Itoa(version) + "_" + base64.RawURLEncoding.EncodeToString(mac(key, as, id))
}

func (k Keys) opens(as kind, token, id string) bool {
	rest, ok := strings.CutPrefix(token, as.prefix)
	if !ok {
		return false
	}
	number, signature, ok := strings.Cut(rest, "_")
	if !ok {
		return false
	}
	version, err := strconv.Atoi(number)
	if err != nil {
		return false
	}
	key, ok := k.ring.Secret(version)
	if !ok {
		return false
	}
	sum, err := base64.RawURLEncoding.Strict().DecodeString(signature)
	return err == nil && hmac.Equal(sum, mac(key, as, id))
}

func mac(key string, as kind, id string) []byte {
	m := hmac.New(sha256.New, []byte(key))
	m.Write([]byte(as.purpose + id))
	return m.Sum(nil)
}
