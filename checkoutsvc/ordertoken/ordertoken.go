// Package ordertoken signs and checks order access tokens: dot_<key version>_<HMAC-SHA256 of the order id, base64url>. A
// token opens one order and nothing else; it is the same for the same order, so a repeated StartCheckout returns it again.
// It may expire: its age is that of its order.
package ordertoken

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/dayof/dayof/internal/chassis/config"
	"github.com/dayof/dayof/internal/chassis/keyring"
	"github.com/dayof/dayof/internal/chassis/rpc"
)

// keyLengthMin is the shortest key, in characters.
const keyLengthMin = 32

// Keys are the keys that sign tokens, by version.
type Keys struct {
	ring     keyring.Keys
	lifetime time.Duration
}

// NewKeys takes keys of at least 32 characters, each as version:key. The newest signs, all verify. A token opens its order
// until lifetime after the order was made; 0: for ever.
func NewKeys(keys []config.Secret, lifetime time.Duration) (Keys, error) {
	ring, err := keyring.Parse(keys, keyLengthMin)
	if err != nil {
		return Keys{}, fmt.Errorf("DAYOF_CHECKOUT_ORDER_TOKEN_KEYS: %w", err)
	}
	return Keys{ring, lifetime}, nil
}

// Sign returns the token of an order.
func (k Keys) Sign(orderID string) string {
	version := k.ring.Newest()
	key, _ := k.ring.Secret(version)
	return "dot_" + strconv.Itoa(version) + "_" + base64.RawURLEncoding.EncodeToString(mac(key, orderID))
}

func mac(key, orderID string) []byte {
	m := hmac.New(sha256.New, []byte(key))
	m.Write([]byte("order-access/" + orderID))
	return m.Sum(nil)
}

// Opens says whether token opens the order.
func (k Keys) Opens(token, orderID string) bool {
	rest, ok := strings.CutPrefix(token, "dot_")
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
	return err == nil && hmac.Equal(sum, mac(key, orderID))
}

// Expired says whether the caller's token is too old for an order that was made at createTime. Operators' are not.
func (k Keys) Expired(ctx context.Context, createTime, now time.Time) bool {
	return k.lifetime > 0 && !now.Before(createTime.Add(k.lifetime)) && rpc.CallerFrom(ctx).Role < rpc.RoleOperator
}

// Admits says whether the caller may see the order: the holder of its token, and operators. See Expired for its age.
func (k Keys) Admits(ctx context.Context, orderID string) bool {
	return rpc.CallerFrom(ctx).Role >= rpc.RoleOperator || k.Opens(rpc.BearerToken(ctx), orderID)
}

// NetworkKey stands for a network where callers are counted: who has no key cannot tell which network it is, nor by trying them all.
// It changes when a newer key signs.
func (k Keys) NetworkKey(n rpc.Network) int64 {
	key, _ := k.ring.Secret(k.ring.Newest())
	m := hmac.New(sha256.New, []byte(key))
	m.Write([]byte("hold-network/" + n.String()))
	return int64(binary.BigEndian.Uint64(m.Sum(nil)))
}
