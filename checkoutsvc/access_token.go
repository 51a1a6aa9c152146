package checkoutsvc

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

// orderTokens signs and checks order access tokens: dot_<key version>_<HMAC-SHA256 of the order id, base64url>. A token
// opens one order and nothing else; it is the same for the same order, so a repeated StartCheckout returns it again.
type orderTokens struct {
	keys [][]byte // by version, from 1
}

func newOrderTokens(keys []config.Secret) (orderTokens, error) {
	if len(keys) == 0 {
		return orderTokens{}, errors.New("DAYOF_CHECKOUT_ORDER_TOKEN_KEYS is not set: orders could not be opened by their buyers")
	}
	var t orderTokens
	for i, k := range keys {
		if len(k.Reveal()) < 32 {
			return orderTokens{}, fmt.Errorf("DAYOF_CHECKOUT_ORDER_TOKEN_KEYS: key %d is shorter than 32 characters", i+1)
		}
		t.keys = append(t.keys, []byte(k.Reveal()))
	}
	return t, nil
}

func (t orderTokens) sign(orderID string) string {
	version := len(t.keys)
	return "dot_" + strconv.Itoa(version) + "_" + base64.RawURLEncoding.EncodeToString(t.mac(version, orderID))
}

func (t orderTokens) mac(version int, orderID string) []byte {
	m := hmac.New(sha256.New, t.keys[version-1])
	m.Write([]byte("order-access/" + orderID))
	return m.Sum(nil)
}

// opens says whether token opens the order.
func (t orderTokens) opens(token, orderID string) bool {
	rest, ok := strings.CutPrefix(token, "dot_")
	if !ok {
		return false
	}
	number, mac, ok := strings.Cut(rest, "_")
	if !ok {
		return false
	}
	version, err := strconv.Atoi(number)
	if err != nil || version < 1 || version > len(t.keys) {
		return false
	}
	sum, err := base64.RawURLEncoding.Strict().DecodeString(mac)
	return err == nil && hmac.Equal(sum, t.mac(version, orderID))
}

// authorizeBuyer lets the holder of the order's token through, and operators. Anybody else learns as much about an
// order that exists as about one that does not.
func (s *Service) authorizeBuyer(ctx context.Context, orderID string) error {
	if rpc.CallerFrom(ctx).Role >= rpc.RoleOperator || s.tokens.opens(rpc.BearerToken(ctx), orderID) {
		return nil
	}
	return errNoOrder
}
