package webhooksvc

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// TestDelivery checks what is stored: the bytes as they came, and one job.
func TestDelivery(t *testing.T) {
	t.Parallel()
	w := newQuietHarness(t, nil)
	body := story(t, "a04-payment_intent.succeeded")
	answer := w.deliver(t, accountPath, accountSecret, body)
	answer.must(t)
	if answer.body != `{"received":true}` || answer.header.Get("Content-Type") != "application/json" {
		t.Errorf("answer %+v", answer)
	}
	var stored []byte
	var eventType, version, object, source string
	var created, received time.Time
	err := w.pool.QueryRow(t.Context(), `SELECT body, type, api_version, object_id, source, create_time, receive_time FROM webhook_events`).
		Scan(&stored, &eventType, &version, &object, &source, &created, &received)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(stored, body) {
		t.Error("the stored bytes are not the ones that were signed")
	}
	if eventType != "payment_intent.succeeded" || version != "2023-10-16" || object != "pi_3v6H8aCtTb1WUcve0mJVpNbbYaY" ||
		source != sourceDelivery || created.Unix() != 1764000040 || !received.Equal(storyTime) {
		t.Errorf("stored as %s %s %s %s %s %s", eventType, version, object, source, created, received)
	}
	w.deliver(t, accountPath, accountSecret, body).must(t)
	if got := w.row(t, "evt_35mmYAGINODWUcve0mJHndxEYoS"); got.Deliveries != 2 || got.State != stateReceived {
		t.Errorf("row %+v", got)
	}
}

// TestForged posts what nobody at Stripe would: nothing of it is accepted, nothing stored, and never 5xx. The
// answers to a wrong signature and to a wrong body are the same bytes.
func TestForged(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewRegistry()
	w := newQuietHarness(t, func(_ *Config, d *Deps) { d.Registry = registry })
	body := intentBody("evt_forged")
	good := sign(storyTime, body, accountSecret)
	mac := strings.TrimPrefix(good, fmt.Sprintf("t=%d,v1=", storyTime.Unix()))
	stamp := fmt.Sprintf("t=%d", storyTime.Unix())
	at := func(d time.Duration) string { return sign(storyTime.Add(d), body, accountSecret) }

	type request struct {
		method string // POST if empty
		path   string // the account endpoint's if empty
		header http.Header
		body   []byte // the good one if nil
		want   int
	}
	signed := func(body []byte) http.Header {
		return http.Header{"Stripe-Signature": {sign(storyTime, body, accountSecret)}}
	}
	forged := map[string]request{}
	// Signatures over the good body.
	for name, header := range map[string][]string{
		"no signature":                    nil,
		"empty signature":                 {""},
		"two signature headers":           {good, good},
		"signature header with two lines": {stamp, "v1=" + mac},
		"foreign secret":                  {sign(storyTime, body, "whsec_somebody_elses_secret")},
		"secret of the Connect endpoint":  {sign(storyTime, body, connectSecret)},
		"empty key":                       {sign(storyTime, body, "")},
		"key without whsec_":              {sign(storyTime, body, strings.TrimPrefix(accountSecret, "whsec_"))},
		"301 s old":                       {at(-301 * time.Second)},
		"301 s ahead":                     {at(301 * time.Second)},
		"ten years ahead":                 {at(87600 * time.Hour)},
		"no time":                         {"v1=" + mac},
		"time zero":                       {"t=0,v1=" + macOf(accountSecret, "0", body)},
		"negative time":                   {"t=-5,v1=" + macOf(accountSecret, "-5", body)},
		"time with a sign":                {"t=+" + stamp[2:] + ",v1=" + macOf(accountSecret, "+"+stamp[2:], body)},
		"time with a leading zero":        {"t=0" + stamp[2:] + ",v1=" + macOf(accountSecret, "0"+stamp[2:], body)},
		"time in milliseconds":            {"t=" + stamp[2:] + "000,v1=" + macOf(accountSecret, stamp[2:]+"000", body)},
		"time that overflows":             {"t=99999999999999999999999,v1=" + mac},
		"time as a word":                  {"t=now,v1=" + mac},
		"empty time":                      {"t=,v1=" + macOf(accountSecret, "", body)},
		"two times, the first right":      {good + ",t=1"},
		"two times, the last right":       {"t=1," + good},
		"no v1":                           {stamp},
		"v0 alone":                        {stamp + ",v0=" + mac},
		"v2 alone":                        {stamp + ",v2=" + mac},
		"V1 in upper case":                {stamp + ",V1=" + mac},
		"empty v1":                        {stamp + ",v1="},
		"v1 cut off":                      {stamp + ",v1=" + mac[:63]},
		"v1 too long":                     {stamp + ",v1=" + mac + "00"},
		"v1 in upper case":                {stamp + ",v1=" + strings.ToUpper(mac)},
		"v1 in base64":                    {stamp + ",v1=rWnXa2Zr0y5WqkYb1n0v4m6h3q8t7u9w2x4y6z8A0B0="},
		"v1 of zeros":                     {stamp + ",v1=" + strings.Repeat("0", 64)},
		"v1 off by one bit":               {stamp + ",v1=" + flip(mac)},
		"v1 over the body alone":          {stamp + ",v1=" + macOf(accountSecret, "", body)},
		"blank after the comma":           {stamp + ", v1=" + mac},
		"blank around the equals sign":    {stamp + ",v1 = " + mac},
		"semicolon for comma":             {stamp + ";v1=" + mac},
		"two equals signs":                {stamp + ",v1==" + mac},
		"trailing comma":                  {good + ","},
		"part without a value":            {good + ",v1"},
		"seventeen signatures":            {good + strings.Repeat(",v1="+strings.Repeat("0", 64), 16)},
		"four kilobytes of header":        {good + ",v0=" + strings.Repeat("0", 4096)},
		"JSON for a header":               {`{"t":` + stamp[2:] + `,"v1":"` + mac + `"}`},
		"bearer token":                    {"Bearer " + mac},
	} {
		forged[name] = request{header: http.Header{"Stripe-Signature": header}, want: http.StatusBadRequest}
	}
	// Bodies with the signature of another body, or with a good one of their own.
	for name, changed := range map[string][]byte{
		"one byte more":        append(bytes.Clone(body), '\n'),
		"one byte less":        body[:len(body)-1],
		"compacted":            bytes.ReplaceAll(body, []byte("\n"), nil),
		"another amount":       bytes.ReplaceAll(body, []byte("8900"), []byte("8901")),
		"empty":                {},
		"another event's body": intentBody("evt_other"),
	} {
		forged["signature of another body: "+name] = request{header: http.Header{"Stripe-Signature": {good}}, body: changed, want: http.StatusBadRequest}
	}
	for name, body := range map[string]string{
		"empty": "", "null": "null", "a number": "1", "a string": `"evt_1"`, "a list": "[" + string(body) + "]", "an empty object": "{}",
		"no JSON": "id=evt_1&type=charge.succeeded", "two values": string(body) + string(body), "cut off": string(body[:40]),
		"byte order mark": "\xef\xbb\xbf" + string(body), "UTF-16": "\xff\xfe{\x00}\x00", "not UTF-8": "\x80\x81",
		"an object that is no event": `{"id":"pi_1","object":"payment_intent","type":"payment_intent.succeeded"}`,
		"no id":                      `{"object":"event","type":"charge.succeeded"}`,
		"an id that is a number":     `{"id":5,"object":"event","type":"charge.succeeded"}`,
		"an id with a slash":         `{"id":"evt_1/replay-1","object":"event","type":"charge.succeeded"}`,
		"an id with a zero byte":     `{"id":"evt_1\u0000","object":"event","type":"charge.succeeded"}`,
		"an id that is long":         `{"id":"evt_` + strings.Repeat("1", 200) + `","object":"event","type":"charge.succeeded"}`,
		"no type":                    `{"id":"evt_1","object":"event"}`,
		"a type with a zero byte":    `{"id":"evt_1","object":"event","type":"charge\u0000"}`,
		"depth of 20,000":            strings.Repeat("[", 20000),
	} {
		forged["signed, but the body is "+name] = request{header: signed([]byte(body)), body: []byte(body), want: http.StatusBadRequest}
	}
	large := bytes.Repeat([]byte(" "), bodySizeMax+1)
	for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions, "BREW"} {
		forged["method "+method] = request{method: method, header: http.Header{"Stripe-Signature": {good}}, want: http.StatusMethodNotAllowed}
	}
	for _, encoding := range []string{"gzip", "br", "deflate", "GZIP", "identity, gzip"} {
		forged["encoding "+encoding] = request{
			header: http.Header{"Stripe-Signature": {good}, "Content-Encoding": {encoding}}, want: http.StatusUnsupportedMediaType,
		}
	}
	for _, contentType := range []string{"application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "text/plain", "application/json; charset=utf-16"} {
		forged["content type "+contentType] = request{
			header: http.Header{"Stripe-Signature": {sign(storyTime, body, connectSecret)}, "Content-Type": {contentType}}, want: http.StatusBadRequest,
		}
	}
	for name, header := range map[string]http.Header{
		"gzip that does not say so":         signed(zipped(t, body)),
		"gzip, signed before it was zipped": signed(body),
	} {
		forged[name] = request{header: header, body: zipped(t, body), want: http.StatusBadRequest}
	}
	forged["one byte too large"] = request{header: signed(large), body: large, want: http.StatusRequestEntityTooLarge}
	forged["unknown path below"] = request{path: accountPath + "/other", header: http.Header{"Stripe-Signature": {good}}, want: http.StatusNotFound}
	forged["trailing slash"] = request{path: accountPath + "/", header: http.Header{"Stripe-Signature": {good}}, want: http.StatusNotFound}
	forged["account's event at Connect"] = request{path: connectPath, header: http.Header{"Stripe-Signature": {good}}, want: http.StatusBadRequest}

	if len(forged) < 40 {
		t.Fatalf("only %d requests", len(forged))
	}
	bad := make(map[string]bool)
	counted := 0 // requests that get as far as an endpoint
	for name, r := range forged {
		if r.method == "" {
			r.method = http.MethodPost
		}
		if r.path == "" {
			r.path = accountPath
		}
		if r.body == nil {
			r.body = body
		}
		got := w.request(t, r.method, r.path, bytes.NewReader(r.body), r.header)
		if got.status != r.want {
			t.Errorf("%s: answer %d %s, want %d", name, got.status, got.body, r.want)
		}
		if got.status == http.StatusBadRequest {
			bad[got.body] = true
		}
		if got.status != http.StatusNotFound {
			counted++
		}
		if got.status == http.StatusMethodNotAllowed && got.header.Get("Allow") != "POST" {
			t.Errorf("%s: Allow %q", name, got.header.Get("Allow"))
		}
	}
	// Without an announced size, too.
	got := w.request(t, http.MethodPost, accountPath, struct{ io.Reader }{bytes.NewReader(body)}, http.Header{"Stripe-Signature": {stamp + ",v0=" + mac}})
	if counted++; got.status != http.StatusBadRequest {
		t.Errorf("chunked: answer %d %s", got.status, got.body)
	}
	if got := sum(t, registry, "webhook_deliveries_total"); got != counted {
		t.Errorf("%d requests are counted, want %d", got, counted)
	}
	if len(bad) != 1 {
		t.Errorf("the answers reveal which check failed: %v", bad)
	}
	if rows := w.count(t, "SELECT count(*) FROM webhook_events") + w.count(t, "SELECT count(*) FROM river_job"); rows != 0 {
		t.Errorf("%d rows were stored", rows)
	}
	t.Logf("%d forged or odd requests", len(forged))
}

// sum adds up a counter over its labels.
func sum(t *testing.T, registry *prometheus.Registry, name string) int {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	total := 0.0
	for _, family := range families {
		if family.GetName() != name {
			continue
		}
		for _, metric := range family.GetMetric() {
			total += metric.GetCounter().GetValue()
		}
	}
	return int(total)
}

func flip(mac string) string {
	if mac[0] == '0' {
		return "1" + mac[1:]
	}
	return "0" + mac[1:]
}

// TestOddButGood is accepted although it is unusual.
func TestOddButGood(t *testing.T) {
	t.Parallel()
	w := newQuietHarness(t, nil)
	body := func(id string) []byte { return eventBody(id, "moon.landed", `{"id": "moon_1"}`) }
	full := append(body("evt_largest"), bytes.Repeat([]byte(" "), bodySizeMax)...)[:bodySizeMax]
	for name, c := range map[string]struct {
		body   []byte
		header http.Header
	}{
		"identity encoding": {body("evt_identity"), http.Header{"Content-Encoding": {"identity"}}},
		"no content type":   {body("evt_untyped"), http.Header{"Content-Type": nil}},
		"a form's type":     {body("evt_form"), http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}},
		"largest body":      {full, nil},
	} {
		header := c.header.Clone()
		if header == nil {
			header = http.Header{}
		}
		header.Set("Stripe-Signature", sign(storyTime, c.body, accountSecret))
		if got := w.post(t, accountPath, c.body, header); got.status != http.StatusOK {
			t.Errorf("%s: answer %d %s", name, got.status, got.body)
		}
	}
	// At the very edge of the tolerance, either way.
	for _, age := range []time.Duration{-signatureTolerance, signatureTolerance} {
		edge := body(fmt.Sprintf("evt_edge_%d", max(age, 0)))
		w.post(t, accountPath, edge, http.Header{"Stripe-Signature": {sign(storyTime.Add(age), edge, accountSecret)}}).must(t)
	}
	// Chunked: the size is not announced.
	chunked := body("evt_chunked")
	got := w.request(t, http.MethodPost, accountPath, struct{ io.Reader }{bytes.NewReader(chunked)},
		http.Header{"Stripe-Signature": {sign(storyTime, chunked, accountSecret)}})
	got.must(t)
	large := bytes.Repeat([]byte(" "), 2*bodySizeMax)
	got = w.request(t, http.MethodPost, accountPath, struct{ io.Reader }{bytes.NewReader(large)},
		http.Header{"Stripe-Signature": {sign(storyTime, large, accountSecret)}})
	if got.status != http.StatusRequestEntityTooLarge {
		t.Errorf("too large without an announced size: answer %d", got.status)
	}
}

// TestRotation rolls a secret on our side first, and on Stripe's side first.
func TestRotation(t *testing.T) {
	t.Parallel()
	const former, next = "whsec_former_0123456789", "whsec_next_0123456789"
	w := newQuietHarness(t, func(c *Config, _ *Deps) { c.AccountSecrets = secretsOf(former, next) })
	for i, secrets := range [][]string{{former}, {next}, {former, next}, {"whsec_retired_0123456789", next}} {
		body := intentBody(fmt.Sprintf("evt_%d", i))
		w.post(t, accountPath, body, http.Header{"Stripe-Signature": {sign(storyTime, body, secrets...)}}).must(t)
	}
	body := intentBody("evt_retired")
	if got := w.deliver(t, accountPath, "whsec_retired_0123456789", body); got.status != http.StatusBadRequest {
		t.Errorf("retired secret: answer %d", got.status)
	}
}

// TestTwoEndpoints keeps the deliveries of one event to two endpoints apart, and their secrets.
func TestTwoEndpoints(t *testing.T) {
	t.Parallel()
	w := newHarness(t, nil)
	body := bytes.Replace(intentBody("evt_1"), []byte(`"livemode": false,
  "type"`), []byte(`"account": "acct_1Organizer", "livemode": false,
  "type"`), 1)
	w.deliver(t, accountPath, accountSecret, body).must(t)
	w.deliver(t, connectPath, connectSecret, body).must(t)
	if got := w.deliver(t, connectPath, accountSecret, body); got.status != http.StatusBadRequest {
		t.Errorf("account's secret at the Connect endpoint: answer %d", got.status)
	}
	await(t, "both to be applied", func() bool {
		return w.count(t, "SELECT count(*) FROM webhook_events WHERE state = 'applied' AND stripe_account = 'acct_1Organizer'") == 2
	})
	keys := make(map[string]bool)
	for _, c := range w.peers.got() {
		keys[c.key] = true
	}
	if !keys["webhook/account/evt_1"] || !keys["webhook/connect/evt_1"] || len(keys) != 2 {
		t.Errorf("keys %v", keys)
	}

	closed := newQuietHarness(t, func(c *Config, _ *Deps) { c.ConnectSecrets = nil })
	if got := closed.deliver(t, connectPath, "", body); got.status != http.StatusNotFound {
		t.Errorf("Connect endpoint without a secret: answer %d", got.status)
	}
}
