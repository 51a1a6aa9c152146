package fault_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/dayof/dayof/devenv/sandbox/fault"
)

// party is a server that counts what it does, behind the faults of the ledger.
type party struct {
	t      *testing.T
	faults *fault.Faults
	url    string
	done   atomic.Int64
	bodies chan string // what the handler read
	client *http.Client
}

const answerText = "a whole answer of some length"

func newParty(t *testing.T) *party {
	t.Helper()
	p := &party{t: t, faults: fault.New(1), bodies: make(chan string, 1000)}
	srv := httptest.NewServer(p.faults.Wrap(fault.Ledger, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Errorf("handler cannot read its body: %v", err)
		}
		if err := r.Context().Err(); err != nil {
			t.Errorf("the party works for a caller that is gone: %v", err)
		}
		p.done.Add(1)
		p.bodies <- string(body)
		_, _ = io.WriteString(w, answerText)
	})))
	t.Cleanup(srv.Close)
	p.url = srv.URL
	// A connection of its own for each call, so that the client does not repeat calls by itself.
	p.client = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 2 * time.Minute}
	return p
}

func (p *party) set(f fault.Fault) {
	p.t.Helper()
	if err := p.faults.Set(fault.Ledger, f); err != nil {
		p.t.Fatalf("set fault: %v", err)
	}
}

// reply is an answer as far as it was read.
type reply struct {
	StatusCode int // 0: none came
	Header     http.Header
	Body       string
}

// post sends a body.
func (p *party) post(ctx context.Context, path string) (reply, error) {
	p.t.Helper()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, p.url+path, strings.NewReader("the request"))
	if err != nil {
		p.t.Fatalf("make request: %v", err)
	}
	res, err := p.client.Do(req)
	if err != nil {
		return reply{}, err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	return reply{StatusCode: res.StatusCode, Header: res.Header, Body: string(body)}, err
}

func TestWrap(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		fault      fault.Fault
		status     int // 0: no answer
		done       int64
		retryAfter string
	}{
		"refuse":                {fault: fault.Fault{Mode: fault.Refuse, Rate: 1}},
		"5xx":                   {fault: fault.Fault{Mode: fault.ServerError, Rate: 1}, status: 503},
		"5xx of another status": {fault: fault.Fault{Mode: fault.ServerError, Rate: 1, Status: 500}, status: 500},
		"429":                   {fault: fault.Fault{Mode: fault.TooMany, Rate: 1, RetryAfterSeconds: 7}, status: 429, retryAfter: "7"},
		"slow":                  {fault: fault.Fault{Mode: fault.Slow, Rate: 1, LatencyMS: 1}, status: 200, done: 1},
		"lost_reply":            {fault: fault.Fault{Mode: fault.LostReply, Rate: 1}, done: 1},
		"not at this path":      {fault: fault.Fault{Mode: fault.Refuse, Rate: 1, Match: "POST /other"}, status: 200, done: 1},
		"at this path":          {fault: fault.Fault{Mode: fault.Refuse, Rate: 1, Match: "POST /v2/led"}},
		"at a rate of 0":        {fault: fault.Fault{Mode: fault.Refuse}, status: 200, done: 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newParty(t)
			p.set(c.fault)
			res, err := p.post(t.Context(), "/v2/ledger")
			if c.status == 0 {
				if err == nil {
					t.Fatalf("got status %d, want no answer", res.StatusCode)
				}
			} else if err != nil || res.StatusCode != c.status || res.Header.Get("Retry-After") != c.retryAfter {
				t.Fatalf("got %v %v, want status %d, Retry-After %q", res, err, c.status, c.retryAfter)
			}
			if c.status == 200 && res.Body != answerText {
				t.Fatalf("answer %q", res.Body)
			}
			if got := p.done.Load(); got != c.done {
				t.Fatalf("the party did it %d times, want %d", got, c.done)
			}
			if c.done == 1 && <-p.bodies != "the request" {
				t.Fatal("the party did not get the whole request")
			}
		})
	}
}

func TestWrapHalfBody(t *testing.T) {
	t.Parallel()
	p := newParty(t)
	p.set(fault.Fault{Mode: fault.HalfBody, Rate: 1})
	res, err := p.post(t.Context(), "/")
	if res.StatusCode != 200 || !errors.Is(err, io.ErrUnexpectedEOF) || res.Body != answerText[:len(answerText)/2] {
		t.Fatalf("got %v %v, want the first half and an unexpected EOF", res, err)
	}
	if p.done.Load() != 1 {
		t.Fatal("the party did not do it")
	}
}

// leave posts, and goes away once the party's faults have noted the call, however long the machine takes for that.
func (p *party) leave() error {
	p.t.Helper()
	ctx, cancel := context.WithCancel(p.t.Context())
	defer cancel()
	left := make(chan error, 1)
	noted := p.faults.List()[fault.Ledger].Hits
	go func() {
		_, err := p.post(ctx, "/")
		left <- err
	}()
	p.awaitHits(noted + 1)
	cancel()
	return <-left
}

// awaitHits waits until the faults were met by n calls.
func (p *party) awaitHits(n int) {
	p.t.Helper()
	deadline := time.NewTimer(2 * time.Minute)
	defer deadline.Stop()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for p.faults.List()[fault.Ledger].Hits < n {
		select {
		case <-tick.C:
		case <-deadline.C:
			p.t.Fatalf("call %d never arrived", n)
		}
	}
}

func TestWrapHang(t *testing.T) {
	t.Parallel()
	p := newParty(t)
	p.set(fault.Fault{Mode: fault.Hang, Rate: 1})
	if err := p.leave(); !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v, want that the caller went away", err)
	}
	answered := make(chan error, 1)
	go func() {
		_, err := p.post(t.Context(), "/")
		answered <- err
	}()
	p.awaitHits(2)
	p.faults.Clear(fault.Ledger)
	if err := <-answered; err == nil {
		t.Fatal("a call that hung was answered when the fault ended")
	}
	if p.done.Load() != 0 {
		t.Fatalf("a call that hung was done")
	}
	if res, err := p.post(t.Context(), "/"); err != nil || res.StatusCode != 200 {
		t.Fatalf("after the fault: %v %v", res, err)
	}
}

// A slow party does its work although the caller has long gone: the nastiest kind of late effect.
func TestWrapSlowAfterTheCallerLeft(t *testing.T) {
	t.Parallel()
	p := newParty(t)
	p.set(fault.Fault{Mode: fault.Slow, Rate: 1, LatencyMS: 200})
	err := p.leave()
	for ; err == nil; err = p.leave() { // answered before it could leave
		<-p.bodies
	}
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v, want that the caller went away", err)
	}
	select {
	case body := <-p.bodies:
		if body != "the request" {
			t.Fatalf("the party read %q", body)
		}
	case <-time.After(2 * time.Minute):
		t.Fatal("the party never did it")
	}
}

func TestDraw(t *testing.T) {
	t.Parallel()
	hits := func(seed uint64, f fault.Fault) string {
		faults := fault.New(seed)
		if err := faults.Set(fault.Mail, f); err != nil {
			t.Fatalf("set fault: %v", err)
		}
		var pattern strings.Builder
		for range 1000 {
			if faults.Draw(fault.Mail, "DATA") != nil {
				pattern.WriteByte('x')
			} else {
				pattern.WriteByte('.')
			}
		}
		return pattern.String()
	}
	half := fault.Fault{Mode: fault.Refuse, Rate: 0.5}
	if first, second := hits(7, half), hits(7, half); first != second {
		t.Error("the same seed draws differently")
	}
	if n := strings.Count(hits(7, half), "x"); n < 400 || n > 600 {
		t.Errorf("%d of 1000 calls are hit at a rate of 0.5", n)
	}
	if got := hits(7, fault.Fault{Mode: fault.Refuse, Rate: 1, Count: 3}); got[:3] != "xxx" || strings.Contains(got[3:], "x") {
		t.Errorf("a count of 3 hits %s...", got[:10])
	}
}

func TestHandler(t *testing.T) {
	t.Parallel()
	faults := fault.New(1)
	srv := httptest.NewServer(faults.Handler())
	t.Cleanup(srv.Close)
	call := func(method, path, body string) (int, string) {
		req, err := http.NewRequestWithContext(t.Context(), method, srv.URL+path, strings.NewReader(body))
		if err != nil {
			t.Fatalf("make request: %v", err)
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatalf("call: %v", err)
		}
		defer res.Body.Close()
		got, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatalf("read answer: %v", err)
		}
		return res.StatusCode, strings.TrimSpace(string(got))
	}
	for _, step := range []struct {
		method, path, body string
		status             int
		want               string
	}{
		{"GET", "/faults", "", 200, `{}`},
		{"PUT", "/faults/stripe", `{"mode":"lost_reply","count":2}`, 200, `{"stripe":{"mode":"lost_reply","rate":1,"count":2,"hits":0}}`},
		{"PUT", "/faults/stripe", `{"mode":"explode"}`, 400, ""},
		{"PUT", "/faults/stripe", `{"mode":"slow","rate":2}`, 400, ""},
		{"PUT", "/faults/stripe", `{"mode":"slow","often":2}`, 400, ""},
		{"PUT", "/faults/nobody", `{"mode":"slow"}`, 400, ""},
		{"PUT", "/faults/apns", `{"mode":"429","rate":0.25}`, 200, `{"apns":{"mode":"429","rate":0.25,"hits":0},"stripe":{"mode":"lost_reply","rate":1,"count":2,"hits":0}}`},
		{"DELETE", "/faults/stripe", "", 200, `{"apns":{"mode":"429","rate":0.25,"hits":0}}`},
		{"DELETE", "/faults", "", 200, `{}`},
	} {
		status, body := call(step.method, step.path, step.body)
		if status != step.status || (step.want != "" && body != step.want) {
			t.Fatalf("%s %s %s: got %d %s, want %d %s", step.method, step.path, step.body, status, body, step.status, step.want)
		}
	}
}
