// Package ordertoken signs and checks order access tokens: dot_<key version>_<HMAC-SHA256 of the order id, base64url>. A
// token opens one order and nothing else; it is the same for the same order, so a repeated StartCheckout returns it again.
package ordertoken

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/dayof/dayof/internal/chassis/config"
	"github.com/dayof/dayof/internal/chassis/rpc"
)

// keyLengthMin is the shortest key, in characters.
const keyLengthMin = 32

// Keys are the keys that sign tokens.
type Keys struct {
	keys [][]byte // by version, from 1
}

// NewKeys takes keys of at least 32 characters; the last one signs, all verify, and a key's version is its place in the
// list, from 1.
func NewKeys(keys []config.Secret) (Keys, error) {
	if len(keys) == 0 {
		return Keys{}, errors.New("DAYOF_CHECKOUT_ORDER_TOKEN_KEYS is not set: orders could not be opened by their buyers")
	}
	var k Keys
	for i, secret := range keys {
		if len(secret.Reveal()) < keyLengthMin {
			return Keys{}, fmt.Errorf("DAYOF_CHECKOUT_ORDER_TOKEN_KEYS: key %d is shorter than %d characters", i+1, keyLengthMin)
		}
		k.keys = append(k.keys, []byte(secret.Reveal()))
	}
	return k, nil
}

// Sign returns the token of an order.
func (k Keys) Sign(orderID string) string {
	version := len(k.keys)
	return "dot_" + strconv.Itoa(version) + "_" + base64.RawURLEncoding.EncodeToString(k.mac(version, orderID))
}

func (k Keys) mac(version int, orderID string) []byte {
	m := hmac.New(sha256.New, k.keys[version-1])
	m.Write([]byte("order-access/" + orderID))
	return m.Sum(nil)
}

// Opens says whether token opens the order.
func (k Keys) Opens(token, orderID string) bool {
	rest, ok := strings.CutPrefix(token, "dot_")
	if !ok {
		return false
	}
	number, mac, ok := strings.Cut(rest, "_")
	if !ok {
		return false
	}
	version, err := strconv.Atoi(number)
	if err != nil || version < 1 || version > len(k.keys) {
		return false
	}
	sum, err := base64.RawURLEncoding.Strict().DecodeString(mac)
	return err == nil && hmac.Equal(sum, k.mac(version, orderID))
}

// Admits says whether the caller may see the order: the holder of its token, and operators.
func (k Keys) Admits(ctx context.Context, orderID string) bool {
	return rpc.CallerFrom(ctx).Role >= rpc.RoleOperator || k.Opens(rpc.BearerToken(ctx), orderID)
}
