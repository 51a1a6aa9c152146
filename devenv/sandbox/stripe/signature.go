package stripe

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"strconv"
	"strings"
	"time"
)

// Sign returns the Stripe-Signature header of a webhook body: "t=<unix seconds>,v1=<hex>".
//
// The MAC is HMAC-SHA256 over "<t>.<body>" with the whole whsec_... string as the key. Every attempt is signed anew.
func Sign(secret string, t time.Time, body []byte) string {
	return SignAll([]string{secret}, t, body)
}

// SignAll signs with several secrets, one v1 each, as Stripe does while a rolled secret is still alive.
func SignAll(secrets []string, t time.Time, body []byte) string {
	stamp := strconv.FormatInt(t.Unix(), 10)
	var header strings.Builder
	header.WriteString("t=" + stamp)
	for _, secret := range secrets {
		mac := hmac.New(sha256.New, []byte(secret))
		mac.Write([]byte(stamp))
		mac.Write([]byte("."))
		mac.Write(body)
		header.WriteString(",v1=" + hex.EncodeToString(mac.Sum(nil)))
	}
	return header.String()
}
