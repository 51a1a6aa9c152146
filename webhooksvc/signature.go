package webhooksvc

import (
	"errors"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/stripe/stripe-go/v76/webhook"

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

// The checks that a request can fail. The answer never reveals which one it was; the counter and the debug log do.
var (
	errSignatureHeader = errors.New("signature header malformed")
	errSignatureTime   = errors.New("signature too old or too new")
	errSignatureMatch  = errors.New("signature does not match")
)

// verifySignature checks the values of the header Stripe-Signature against the raw bytes of a body. Any of the
// secrets may have made any of the signatures, so that either side can roll first.
//
// Only v1 counts: HMAC-SHA256 over "<t>.<body>" with the whole "whsec_..." text as key, in lower-case hex. All other
// schemes are ignored; v0 is a fake one that Stripe sends for test events. The signature itself is checked by stripe-go;
// its reading of the header is lenient and knows no time but the machine's, so form and time are checked here first. It
// returns one of the errors above.
func verifySignature(secrets []config.Secret, header []string, body []byte, now time.Time) error {
	if len(header) != 1 {
		return errSignatureHeader
	}
	signTime, err := readSignature(header[0])
	if err != nil {
		return err
	}
	if age := now.Sub(signTime); age > signatureTolerance || age < -signatureTolerance {
		return errSignatureTime
	}
	for _, secret := range secrets {
		if webhook.ValidatePayloadIgnoringTolerance(body, header[0], secret.Reveal()) == nil {
			return nil
		}
	}
	return errSignatureMatch
}

var (
	// oneTime is 1 to 12 digits without sign or leading zero: one instant has one spelling.
	oneTime = regexp.MustCompile(`^[1-9][0-9]{0,11}$`)
	// oneMAC is a SHA-256 in lower-case hex.
	oneMAC = regexp.MustCompile(`^[0-9a-f]{64}$`)
)

// readSignature returns the time of "t=<unix seconds>,v1=<hex>[,v1=<hex>...][,<other scheme>=<anything>...]". It is
// strict where leniency could make two readings of one header: exactly one t of plain digits, no blanks, no part without
// a name.
func readSignature(header string) (time.Time, error) {
	if len(header) > signatureHeaderSizeMax {
		return time.Time{}, errSignatureHeader
	}
	var times, signatures int
	var seconds int64
	for part := range strings.SplitSeq(header, ",") {
		name, value, found := strings.Cut(part, "=")
		if !found || strings.Contains(value, "=") {
			return time.Time{}, errSignatureHeader
		}
		switch name {
		case "t":
			if times++; !oneTime.MatchString(value) {
				return time.Time{}, errSignatureHeader
			}
			var err error
			if seconds, err = strconv.ParseInt(value, 10, 64); err != nil {
				return time.Time{}, errSignatureHeader
			}
		case "v1":
			if signatures++; !oneMAC.MatchString(value) {
				return time.Time{}, errSignatureHeader
			}
		}
	}
	if times != 1 || signatures == 0 || signatures > signaturesMax {
		return time.Time{}, errSignatureHeader
	}
	return time.Unix(seconds, 0), nil
}
