package webhooksvc

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/dayof/dayof/internal/chassis/config"
)

// sign returns a Stripe-Signature header with one v1 for each secret.
func sign(at time.Time, body []byte, secrets ...string) string {
	stamp := strconv.FormatInt(at.Unix(), 10)
	header := "t=" + stamp
	for _, secret := range secrets {
		header += ",v1=" + macOf(secret, stamp, body)
	}
	return header
}

func macOf(secret, stamp string, body []byte) string {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(stamp + "."))
	mac.Write(body)
	return hex.EncodeToString(mac.Sum(nil))
}

func secretsOf(values ...string) []config.Secret {
	var secrets []config.Secret
	for _, v := range values {
		secrets = append(secrets, config.NewSecret(v))
	}
	return secrets
}

func TestVerifySignature(t *testing.T) {
	t.Parallel()
	const current, former, foreign = "whsec_current", "whsec_former", "whsec_foreign"
	now := time.Unix(1764000000, 0)
	body := []byte("{\n  \"id\": \"evt_1\"\n}")
	good := sign(now, body, current)
	mac := strings.TrimPrefix(good, "t=1764000000,v1=")
	ours := secretsOf(current, former)

	for name, c := range map[string]struct {
		secrets []config.Secret
		header  []string
		body    []byte
		want    error
	}{
		"one signature":                       {ours, []string{good}, body, nil},
		"signed with the former secret":       {ours, []string{sign(now, body, former)}, body, nil},
		"Stripe rolls: two signatures":        {secretsOf(current), []string{sign(now, body, foreign, current)}, body, nil},
		"other schemes are ignored":           {ours, []string{good + ",v0=abc,v2=abc"}, body, nil},
		"malformed other scheme is ignored":   {ours, []string{good + ",v0="}, body, nil},
		"300 s old":                           {ours, []string{sign(now.Add(-300*time.Second), body, current)}, body, nil},
		"300 s ahead":                         {ours, []string{sign(now.Add(300*time.Second), body, current)}, body, nil},
		"301 s old":                           {ours, []string{sign(now.Add(-301*time.Second), body, current)}, body, errSignatureTime},
		"301 s ahead":                         {ours, []string{sign(now.Add(301*time.Second), body, current)}, body, errSignatureTime},
		"far future":                          {ours, []string{sign(time.Unix(999999999999, 0), body, current)}, body, errSignatureTime},
		"no header":                           {ours, nil, body, errSignatureHeader},
		"two headers":                         {ours, []string{good, good}, body, errSignatureHeader},
		"empty header":                        {ours, []string{""}, body, errSignatureHeader},
		"foreign secret":                      {ours, []string{sign(now, body, foreign)}, body, errSignatureMatch},
		"no secrets at all":                   {nil, []string{good}, body, errSignatureMatch},
		"body changed":                        {ours, []string{good}, []byte(`{"id":"evt_1"}`), errSignatureMatch},
		"time changed":                        {ours, []string{"t=1764000001,v1=" + mac}, body, errSignatureMatch},
		"right signature as v0":               {ours, []string{"t=1764000000,v0=" + mac}, body, errSignatureHeader},
		"right signature as V1":               {ours, []string{"t=1764000000,V1=" + mac}, body, errSignatureHeader},
		"blank after the comma":               {ours, []string{"t=1764000000, v1=" + mac}, body, errSignatureHeader},
		"upper-case hex":                      {ours, []string{"t=1764000000,v1=" + strings.ToUpper(mac)}, body, errSignatureHeader},
		"short hex":                           {ours, []string{"t=1764000000,v1=" + mac[:62]}, body, errSignatureHeader},
		"no time":                             {ours, []string{"v1=" + mac}, body, errSignatureHeader},
		"two times":                           {ours, []string{good + ",t=1764000000"}, body, errSignatureHeader},
		"signed time":                         {ours, []string{"t=+1764000000,v1=" + mac}, body, errSignatureHeader},
		"time with leading zero":              {ours, []string{"t=01764000000,v1=" + macOf(current, "01764000000", body)}, body, errSignatureHeader},
		"time in other digits":                {ours, []string{"t=١٧٦٤٠٠٠٠٠٠,v1=" + mac}, body, errSignatureHeader},
		"time that overflows":                 {ours, []string{"t=99999999999999999999,v1=" + mac}, body, errSignatureHeader},
		"two equals signs":                    {ours, []string{"t=1764000000,v1==" + mac}, body, errSignatureHeader},
		"part without a name":                 {ours, []string{good + ",junk"}, body, errSignatureHeader},
		"trailing comma":                      {ours, []string{good + ","}, body, errSignatureHeader},
		"too many signatures":                 {ours, []string{"t=1764000000" + strings.Repeat(",v1="+mac, signaturesMax+1)}, body, errSignatureHeader},
		"too long":                            {ours, []string{good + ",v0=" + strings.Repeat("a", signatureHeaderSizeMax)}, body, errSignatureHeader},
		"signature over the body alone":       {ours, []string{"t=1764000000,v1=" + macOf(current, "", body)}, body, errSignatureMatch},
		"key without its prefix":              {ours, []string{sign(now, body, strings.TrimPrefix(current, "whsec_"))}, body, errSignatureMatch},
		"signed with an empty key":            {ours, []string{sign(now, body, "")}, body, errSignatureMatch},
		"no secrets, signed with no key":      {nil, []string{sign(now, body, "")}, body, errSignatureMatch},
		"sixteen signatures, the last fits":   {ours, []string{"t=1764000000" + strings.Repeat(",v1="+strings.Repeat("00", 32), signaturesMax-1) + ",v1=" + mac}, body, nil},
		"time that is a fraction":             {ours, []string{"t=1764000000.0,v1=" + mac}, body, errSignatureHeader},
		"time in hexadecimal":                 {ours, []string{"t=0x69248000,v1=" + mac}, body, errSignatureHeader},
		"signature with a zero byte appended": {ours, []string{good + "\x00"}, body, errSignatureHeader},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if err := verifySignature(c.secrets, c.header, c.body, now); !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
		})
	}
}

// FuzzVerifySignature holds our check against the definition: whatever we accept has a v1 that is the HMAC of its time
// and body. Now and then the fuzzer gets a valid header to spoil.
func FuzzVerifySignature(f *testing.F) {
	const secret = "whsec_fuzz"
	now := time.Unix(1764000000, 0)
	body := []byte(`{"id":"evt_1"}`)
	good := sign(now, body, secret)
	for _, header := range []string{
		"", good, good + ",v0=x", sign(now, body, "whsec_other", secret), strings.ToUpper(good),
		strings.Replace(good, ",", ", ", 1), "t=1,v1=", "t=1764000000,v1=" + strings.Repeat("0", 64), good + "," + good,
	} {
		f.Add(header, body)
	}
	f.Fuzz(func(t *testing.T, header string, body []byte) {
		if verifySignature(secretsOf(secret), []string{header}, body, now) != nil {
			return
		}
		parts := strings.Split(header, ",")
		stamp := strings.TrimPrefix(parts[slices.IndexFunc(parts, func(p string) bool { return strings.HasPrefix(p, "t=") })], "t=")
		if !slices.Contains(parts, "v1="+macOf(secret, stamp, body)) {
			t.Errorf("we accept %q for a body that it does not sign", header)
		}
	})
}
