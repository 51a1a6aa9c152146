package webhooksvc

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/dayof/dayof/internal/chassis/config"
)

// signatureTolerance is how far the time of a signature may lie from ours, either way. Stripe's libraries check the
// past only; a signature from the future would stay good for as long as its maker likes.
// Source: docs.stripe.com/webhooks, "Preventing replay attacks".
const signatureTolerance = 300 * time.Second

// signatureHeaderSizeMax and signaturesMax bound the work that a stranger can cause. Stripe sends one v1 for each
// live secret, which are two at most, so both leave plenty.
const (
	signatureHeaderSizeMax = 4096
	signaturesMax          = 16
)

// The checks that a request can fail. The answer never tells which one it was; the counter and the debug log do.
var (
	errSignatureHeader = errors.New("signature header malformed")
	errSignatureTime   = errors.New("signature too old or too new")
	errSignatureMatch  = errors.New("signature does not match")
)

// verifySignature checks the values of the header Stripe-Signature against the raw bytes of a body. Any of the
// secrets may have made any of the signatures, so that either side can roll first.
//
// Only v1 counts: HMAC-SHA256 over "<t>.<body>" with the whole "whsec_..." text as key, in lower-case hex. All other
// schemes are ignored; v0 is a fake one that Stripe sends for test events. It returns one of the errors above.
func verifySignature(secrets []config.Secret, header []string, body []byte, now time.Time) error {
	if len(header) != 1 {
		return errSignatureHeader
	}
	signed, err := parseSignature(header[0])
	if err != nil {
		return err
	}
	if age := now.Sub(signed.time); age > signatureTolerance || age < -signatureTolerance {
		return errSignatureTime
	}
	match := false
	for _, secret := range secrets {
		mac := hmac.New(sha256.New, []byte(secret.Reveal()))
		mac.Write([]byte(signed.stamp))
		mac.Write([]byte("."))
		mac.Write(body)
		want := mac.Sum(nil)
		for _, got := range signed.macs {
			match = hmac.Equal(want, got) || match
		}
	}
	if !match {
		return errSignatureMatch
	}
	return nil
}

// signature is a parsed Stripe-Signature header.
type signature struct {
	stamp string // the text of t, because it is part of what is signed
	time  time.Time
	macs  [][]byte // of 32 bytes each, at least one
}

// parseSignature reads "t=<unix seconds>,v1=<hex>[,v1=<hex>...][,<other scheme>=<anything>...]". It is strict where
// leniency could make two readings of one header: exactly one t of plain digits, no blanks, no part without a name.
func parseSignature(header string) (signature, error) {
	var s signature
	if len(header) > signatureHeaderSizeMax {
		return s, errSignatureHeader
	}
	for part := range strings.SplitSeq(header, ",") {
		name, value, found := strings.Cut(part, "=")
		if !found || strings.Contains(value, "=") {
			return s, errSignatureHeader
		}
		switch name {
		case "t":
			if s.stamp != "" {
				return s, errSignatureHeader
			}
			seconds, err := parseSeconds(value)
			if err != nil {
				return s, err
			}
			s.stamp, s.time = value, time.Unix(seconds, 0)
		case "v1":
			mac, ok := parseMAC(value)
			if !ok || len(s.macs) == signaturesMax {
				return s, errSignatureHeader
			}
			s.macs = append(s.macs, mac)
		}
	}
	if s.stamp == "" || len(s.macs) == 0 {
		return s, errSignatureHeader
	}
	return s, nil
}

// parseSeconds reads 1 to 12 digits without sign or leading zero: one instant has one spelling.
func parseSeconds(text string) (int64, error) {
	if text == "" || len(text) > 12 || text[0] == '0' {
		return 0, errSignatureHeader
	}
	for _, c := range []byte(text) {
		if c < '0' || c > '9' {
			return 0, errSignatureHeader
		}
	}
	seconds, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return 0, errSignatureHeader
	}
	return seconds, nil
}

// parseMAC reads 64 lower-case hex digits.
func parseMAC(text string) ([]byte, bool) {
	if len(text) != hex.EncodedLen(sha256.Size) || strings.ToLower(text) != text {
		return nil, false
	}
	mac, err := hex.DecodeString(text)
	return mac, err == nil
}
