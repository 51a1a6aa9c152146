package passsvc_test

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	passv1 "github.com/dayof/dayof/gen/dayof/pass/v1"
)

// TestDeviceLife is what a device does, from Apple's description of the protocol only.
func TestDeviceLife(t *testing.T) {
	t.Parallel()
	server, useAPNs := newAPNs(t)
	r := newService(t, useAPNs).start(t)
	p, d := r.issue(t, 1)[0], newDevice(1)

	if got := r.register(t, d, p); got != http.StatusCreated {
		t.Fatalf("register: %d", got)
	}
	if got := r.register(t, d, p); got != http.StatusOK {
		t.Errorf("register again: %d", got)
	}
	first := r.list(t, d)
	if !slices.Equal(first.SerialNumbers, []string{p.GetSerial()}) || first.LastUpdated == "" {
		t.Fatalf("first list: %+v", first)
	}
	d.tag = first.LastUpdated
	if again := r.list(t, d); len(again.SerialNumbers) != 0 {
		t.Errorf("list without changes: %+v", again)
	}
	fetched := r.fetch(t, p, "If-Modified-Since", "(null)")
	if fetched.status != http.StatusOK || fetched.header.Get("Content-Type") != "application/vnd.apple.pkpass" ||
		fetched.header.Get("Cache-Control") != "private, no-cache" || fetched.header.Get("Etag") != p.GetEtag() {
		t.Fatalf("fetch: %d %v", fetched.status, fetched.header)
	}
	lastModified := fetched.header.Get("Last-Modified")
	if got := r.fetch(t, p, "If-Modified-Since", lastModified); got.status != http.StatusNotModified || got.body != "" {
		t.Errorf("nothing new: %d", got.status)
	}

	r.clock.Advance(time.Minute)
	r.set(t, p.GetSerial(), "gate", "B")
	r.settled(t)
	if pushes := server.Pushes(); len(pushes) != 1 || pushes[0].DeviceToken != d.token {
		t.Fatalf("pushes: %+v", pushes)
	}
	changed := r.list(t, d)
	if !slices.Equal(changed.SerialNumbers, []string{p.GetSerial()}) || changed.LastUpdated == d.tag {
		t.Fatalf("list after a change: %+v", changed)
	}
	d.tag = changed.LastUpdated
	second := r.fetch(t, p, "If-Modified-Since", lastModified)
	if second.status != http.StatusOK || !strings.Contains(readPass(t, second.body)["pass.json"], `"value":"B"`) {
		t.Errorf("fetch after a change: %d", second.status)
	}
	if got := r.fetch(t, p, "If-Modified-Since", second.header.Get("Last-Modified")); got.status != http.StatusNotModified {
		t.Errorf("nothing new: %d", got.status)
	}

	if got := r.do(t, http.MethodDelete, d.path(p), "", applePass(p)...); got.status != http.StatusOK {
		t.Errorf("unregister: %d", got.status)
	}
	if got := r.do(t, http.MethodDelete, d.path(p), "", applePass(p)...); got.status != http.StatusOK {
		t.Errorf("unregister again: %d", got.status)
	}
	d.tag = ""
	if got := r.list(t, d); len(got.SerialNumbers) != 0 {
		t.Errorf("list after unregistering: %+v", got)
	}
	if got := r.fetch(t, p); got.status != http.StatusOK {
		t.Errorf("fetch without registration: %d", got.status)
	}
	r.set(t, p.GetSerial(), "gate", "C")
	r.settled(t)
	if n := len(server.Pushes()); n != 1 {
		t.Errorf("%d pushes after unregistering", n)
	}
}

func TestWalletStatuses(t *testing.T) {
	t.Parallel()
	r := newService(t)
	passes := r.issue(t, 2)
	p, other := passes[0], passes[1]
	d := newDevice(1)
	good := `{"pushToken":"` + d.token + `"}`
	auth := func(token string) []string { return []string{"Authorization", "ApplePass " + token} }
	unknown := &passv1.Pass{PassTypeIdentifier: passType, Serial: "AAAAAAAAAAAAAAAAAAAAA", AuthenticationToken: p.GetAuthenticationToken()}
	ofOtherType := &passv1.Pass{PassTypeIdentifier: "pass.other", Serial: p.GetSerial(), AuthenticationToken: p.GetAuthenticationToken()}
	cases := map[string]struct {
		method, path, body string
		headers            []string
		want               int
	}{
		"register without token":               {"POST", d.path(p), good, nil, 401},
		"register with a token of another":     {"POST", d.path(p), good, applePass(other), 401},
		"register with a wrong scheme":         {"POST", d.path(p), good, []string{"Authorization", "Bearer " + p.GetAuthenticationToken()}, 401},
		"register with half a token":           {"POST", d.path(p), good, auth(p.GetAuthenticationToken()[:20]), 401},
		"register with a longer token":         {"POST", d.path(p), good, auth(p.GetAuthenticationToken() + "A"), 401},
		"register with another key version":    {"POST", d.path(p), good, auth("2" + p.GetAuthenticationToken()[1:]), 401},
		"register for an unknown pass":         {"POST", d.path(unknown), good, applePass(unknown), 401},
		"register for another pass type":       {"POST", d.path(ofOtherType), good, applePass(ofOtherType), 401},
		"401 comes before the body is checked": {"POST", d.path(p), "{", applePass(other), 401},
		"register without a body":              {"POST", d.path(p), "", applePass(p), 400},
		"register with broken JSON":            {"POST", d.path(p), "{", applePass(p), 400},
		"register with an array":               {"POST", d.path(p), "[]", applePass(p), 400},
		"register without push token":          {"POST", d.path(p), "{}", applePass(p), 400},
		"register with a number as push token": {"POST", d.path(p), `{"pushToken":7}`, applePass(p), 400},
		"register with a path as push token":   {"POST", d.path(p), `{"pushToken":"../../3/device/ab"}`, applePass(p), 400},
		"register with a long push token":      {"POST", d.path(p), `{"pushToken":"` + strings.Repeat("a", 201) + `"}`, applePass(p), 400},
		"register with a long device":          {"POST", strings.Replace(d.path(p), d.id, strings.Repeat("a", 129), 1), good, applePass(p), 400},
		"register with a control character":    {"POST", strings.Replace(d.path(p), d.id, "a%00b", 1), good, applePass(p), 400},
		"register with too much":               {"POST", d.path(p), `{"pushToken":"` + strings.Repeat("a", 16<<10) + `"}`, applePass(p), 413},
		"register with extra keys":             {"POST", d.path(p), `{"pushToken":"` + d.token + `","more":[1]}`, applePass(p), 201},
		"Android's scheme":                     {"POST", newDevice(2).path(p), good, []string{"Authorization", "AndroidPass " + p.GetAuthenticationToken()}, 201},
		"unregister without token":             {"DELETE", d.path(p), "", nil, 401},
		"unregister with a token of another":   {"DELETE", d.path(p), "", applePass(other), 401},
		"unregister an unknown pass":           {"DELETE", d.path(unknown), "", applePass(unknown), 401},
		"unregister a strange device":          {"DELETE", strings.Replace(d.path(p), d.id, "a%00b", 1), "", applePass(p), 200},
		"list of an unknown device":            {"GET", "/v1/devices/unknown/registrations/" + passType, "", nil, 204},
		"list of an unknown pass type":         {"GET", "/v1/devices/" + d.id + "/registrations/pass.other", "", nil, 204},
		"list of a strange device":             {"GET", "/v1/devices/a%00b/registrations/" + passType, "", nil, 204},
		"list needs no token":                  {"GET", "/v1/devices/unknown/registrations/" + passType, "", applePass(other), 204},
		"fetch without token":                  {"GET", passPath(p), "", nil, 401},
		"fetch with a token of another":        {"GET", passPath(p), "", applePass(other), 401},
		"fetch an unknown pass":                {"GET", passPath(unknown), "", applePass(unknown), 401},
		"fetch of another pass type":           {"GET", passPath(ofOtherType), "", applePass(ofOtherType), 401},
		"fetch with a percent-encoded serial":  {"GET", strings.Replace(passPath(p), p.GetSerial(), percent(p.GetSerial()), 1), "", applePass(p), 200},
		"fetch with an encoded slash":          {"GET", passPath(p) + "%2F", "", applePass(p), 401},
		"head":                                 {"HEAD", passPath(p), "", applePass(p), 200},
		"head without token":                   {"HEAD", passPath(p), "", nil, 401},
		"401 comes before 304":                 {"GET", passPath(p), "", []string{"If-None-Match", "*"}, 401},
		"log":                                  {"POST", "/v1/log", `{"logs":["x"]}`, nil, 200},
		"log of nothing":                       {"POST", "/v1/log", `{}`, nil, 200},
		"log of broken JSON":                   {"POST", "/v1/log", `{"logs":`, nil, 400},
		"log of numbers":                       {"POST", "/v1/log", `{"logs":[1]}`, nil, 400},
		"log of too much":                      {"POST", "/v1/log", `{"logs":["` + strings.Repeat("x", 256<<10) + `"]}`, nil, 413},
		"another method":                       {"PUT", passPath(p), "", applePass(p), 405},
		"personalisation":                      {"POST", passPath(p) + "/personalize", "{}", applePass(p), 404},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := r.do(t, tc.method, tc.path, tc.body, tc.headers...)
			if got.status != tc.want {
				t.Errorf("status %d, want %d", got.status, tc.want)
			}
			if tc.want == 401 && (got.header.Get("WWW-Authenticate") != "ApplePass" || got.body != "") {
				t.Errorf("401 with %v %q", got.header, got.body)
			}
		})
	}
}

// percent encodes every character.
func percent(s string) string {
	var b strings.Builder
	for _, c := range []byte(s) {
		fmt.Fprintf(&b, "%%%02X", c)
	}
	return b.String()
}

func TestConditionalFetch(t *testing.T) {
	t.Parallel()
	r := newService(t)
	p := r.issue(t, 1)[0]
	full := r.fetch(t, p)
	etag, modified := full.header.Get("Etag"), full.header.Get("Last-Modified")
	at, err := http.ParseTime(modified)
	if err != nil || !at.Equal(testNow.Truncate(time.Second)) {
		t.Fatalf("Last-Modified %q, %v", modified, err)
	}
	cases := map[string]struct {
		headers []string
		want    int
	}{
		"same tag":                          {[]string{"If-None-Match", etag}, 304},
		"weak form of the tag":              {[]string{"If-None-Match", "W/" + etag}, 304},
		"in a list":                         {[]string{"If-None-Match", `"a", W/"b" ,` + etag}, 304},
		"in a second line":                  {[]string{"If-None-Match", `"a"`, "If-None-Match", etag}, 304},
		"any":                               {[]string{"If-None-Match", "*"}, 304},
		"other tag":                         {[]string{"If-None-Match", `"a"`}, 200},
		"broken tag":                        {[]string{"If-None-Match", "a"}, 200},
		"open quote":                        {[]string{"If-None-Match", `"a`}, 200},
		"other tag decides before the date": {[]string{"If-None-Match", `"a"`, "If-Modified-Since", modified}, 200},
		"same tag decides before the date":  {[]string{"If-None-Match", etag, "If-Modified-Since", "Mon, 01 Jan 2001 00:00:00 GMT"}, 304},
		"same second":                       {[]string{"If-Modified-Since", modified}, 304},
		"later":                             {[]string{"If-Modified-Since", at.Add(time.Hour).Format(http.TimeFormat)}, 304},
		"a second earlier":                  {[]string{"If-Modified-Since", at.Add(-time.Second).Format(http.TimeFormat)}, 200},
		"RFC 850":                           {[]string{"If-Modified-Since", at.Format("Monday, 02-Jan-06 15:04:05 GMT")}, 304},
		"asctime":                           {[]string{"If-Modified-Since", at.Format(time.ANSIC)}, 304},
		"null, as devices send at first":    {[]string{"If-Modified-Since", "(null)"}, 200},
		"ISO date":                          {[]string{"If-Modified-Since", at.Format(time.RFC3339)}, 200},
		"a number":                          {[]string{"If-Modified-Since", strconv.FormatInt(at.Unix(), 10)}, 200},
		"two dates":                         {[]string{"If-Modified-Since", modified, "If-Modified-Since", modified}, 200},
		"empty":                             {[]string{"If-Modified-Since", ""}, 200},
		"far past":                          {[]string{"If-Modified-Since", "Thu, 01 Jan 1970 00:00:00 GMT"}, 200},
	}
	for name, tc := range cases {
		for _, method := range []string{http.MethodGet, http.MethodHead} {
			got := r.do(t, method, passPath(p), "", append(slices.Clone(tc.headers), applePass(p)...)...)
			if got.status != tc.want {
				t.Errorf("%s %s: %d, want %d", method, name, got.status, tc.want)
			}
			for _, header := range []string{"Etag", "Cache-Control", "Vary", "Last-Modified", "Date"} {
				if got.header.Get(header) == "" {
					t.Errorf("%s %s: no %s", method, name, header)
				}
			}
			if got.status == 200 && got.header.Get("Content-Length") != strconv.Itoa(len(full.body)) {
				t.Errorf("%s %s: length %s", method, name, got.header.Get("Content-Length"))
			}
			if (got.status == 304 || method == http.MethodHead) && got.body != "" {
				t.Errorf("%s %s: a body", method, name)
			}
		}
	}
}
