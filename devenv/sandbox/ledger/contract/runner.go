package contract

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"sync"
)

// runner replays one scenario.
type runner struct {
	base    string
	client  *http.Client
	options Options

	ledger string
	bound  map[string]string // "txid:a" -> "17"
	used   map[string]string // "txid=17" -> "a"
}

var referenceRegexp = regexp.MustCompile(`\{(txid|cursor):(\w+)\}`)

func (r *runner) substitute(text string) string {
	text = strings.ReplaceAll(text, "{ledger}", r.ledger)
	return referenceRegexp.ReplaceAllStringFunc(text, func(m string) string {
		parts := referenceRegexp.FindStringSubmatch(m)
		if v, ok := r.bound[parts[1]+":"+parts[2]]; ok {
			return v
		}
		return "UNBOUND-" + parts[2]
	})
}

func (r *runner) substituteJSON(v any, copyNumber string) any {
	switch x := v.(type) {
	case string:
		if m := referenceRegexp.FindStringSubmatch(x); m != nil && m[0] == x && m[1] == "txid" {
			return json.Number(r.substitute(x))
		}
		if copyNumber != "" {
			x = strings.ReplaceAll(x, "{i}", copyNumber)
		}
		return r.substitute(x)
	case []any:
		list := make([]any, len(x))
		for i := range x {
			list[i] = r.substituteJSON(x[i], copyNumber)
		}
		return list
	case map[string]any:
		object := make(map[string]any, len(x))
		for key := range x {
			object[key] = r.substituteJSON(x[key], copyNumber)
		}
		return object
	}
	return v
}

type reply struct {
	status int
	header http.Header
	body   []byte
	err    error
}

// prepare builds a request and returns the function that sends it.
func (r *runner) prepare(ctx context.Context, q *request, copyNumber string) (func() reply, error) {
	body, err := r.requestBody(q, copyNumber)
	if err != nil {
		return nil, err
	}
	path := escapeQuery(r.substitute(strings.ReplaceAll(q.Path, "{i}", copyNumber)))
	var reader io.Reader
	if body != nil {
		reader = bytes.NewReader(body)
	}
	req, err := http.NewRequestWithContext(ctx, q.Method, r.base+path, reader)
	if err != nil {
		return nil, err
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	for k, v := range q.Headers {
		req.Header.Set(k, strings.ReplaceAll(v, "{i}", copyNumber))
	}
	return func() reply {
		resp, err := r.client.Do(req)
		if err != nil {
			return reply{err: err}
		}
		defer resp.Body.Close()
		data, err := io.ReadAll(resp.Body)
		return reply{resp.StatusCode, resp.Header, data, err}
	}, nil
}

// requestBody is nil for a request without body.
func (r *runner) requestBody(q *request, copyNumber string) ([]byte, error) {
	if q.RawBody != nil {
		return []byte(r.substitute(*q.RawBody)), nil
	}
	if len(q.Body) == 0 || string(q.Body) == "null" {
		return nil, nil
	}
	v, err := decode(q.Body)
	if err != nil {
		return nil, err
	}
	return json.Marshal(r.substituteJSON(v, copyNumber))
}

// escapeQuery keeps & and = as separators and escapes the rest of the query.
func escapeQuery(path string) string {
	path, query, ok := strings.Cut(path, "?")
	if !ok {
		return path
	}
	var parts []string
	for pair := range strings.SplitSeq(query, "&") {
		name, v, _ := strings.Cut(pair, "=")
		parts = append(parts, url.QueryEscape(name)+"="+url.QueryEscape(v))
	}
	return path + "?" + strings.Join(parts, "&")
}

func firstPart(body []byte) string {
	text := strings.TrimSpace(string(body))
	if len(text) > 300 {
		return text[:300] + "..."
	}
	return text
}

// single runs a step of one request and returns the differences.
func (r *runner) single(ctx context.Context, s *step) []string {
	send, err := r.prepare(ctx, s.Request, "")
	if err != nil {
		return []string{err.Error()}
	}
	got := send()
	if got.err != nil {
		return []string{got.err.Error()}
	}
	want := s.Response
	var differences []string
	if got.status != want.Status {
		differences = append(differences, fmt.Sprintf("status: want %d, got %d: %s", want.Status, got.status, firstPart(got.body)))
	}
	differences = append(differences, compareHeaders(want.Headers, got.header)...)
	return append(differences, r.compareBody(want, got.body)...)
}

func compareHeaders(want map[string]string, got http.Header) []string {
	var differences []string
	for name, w := range want {
		g := got.Get(name)
		switch {
		case w == "<absent>":
			if len(got.Values(name)) > 0 {
				differences = append(differences, fmt.Sprintf("header %s: want none, got %q", name, g))
			}
		case strings.EqualFold(name, "Content-Type"):
			mediaType, _, _ := strings.Cut(g, ";")
			wantType, _, _ := strings.Cut(w, ";")
			if strings.TrimSpace(mediaType) != strings.TrimSpace(wantType) {
				differences = append(differences, fmt.Sprintf("header %s: want %q, got %q", name, w, g))
			}
		case g != w:
			differences = append(differences, fmt.Sprintf("header %s: want %q, got %q", name, w, g))
		}
	}
	return differences
}

func (r *runner) compareBody(want *response, body []byte) []string {
	if want.BodyText != nil {
		if strings.TrimSpace(string(body)) != *want.BodyText {
			return []string{fmt.Sprintf("body: want %q, got %q", *want.BodyText, firstPart(body))}
		}
		return nil
	}
	if len(want.Body) == 0 || string(want.Body) == "null" {
		if len(bytes.TrimSpace(body)) > 0 {
			return []string{"body: want none, got " + firstPart(body)}
		}
		return nil
	}
	wanted, err := decode(want.Body)
	if err != nil {
		return []string{"bad golden: " + err.Error()}
	}
	got, err := decode(body)
	if err != nil {
		return []string{fmt.Sprintf("body is not JSON (%v): %s", err, firstPart(body))}
	}
	var differences []string
	r.compare("body", wanted, got, &differences)
	return differences
}

// tally counts the answers of a parallel step.
type tally struct {
	statuses, codes map[string]int
	ids             map[string]bool
	hits            int
}

// parallel sends all copies of a request at once and compares the counts.
func (r *runner) parallel(ctx context.Context, p *parallelStep) []string {
	sends := make([]func() reply, p.Count)
	for i := range sends {
		send, err := r.prepare(ctx, &p.Request, strconv.Itoa(i))
		if err != nil {
			return []string{err.Error()}
		}
		sends[i] = send
	}
	replies := make([]reply, p.Count)
	start := make(chan struct{})
	var group sync.WaitGroup
	for i := range sends {
		group.Go(func() {
			<-start
			replies[i] = sends[i]()
		})
	}
	close(start)
	group.Wait()
	t := tally{statuses: map[string]int{}, codes: map[string]int{}, ids: map[string]bool{}}
	var differences []string
	for _, got := range replies {
		if got.err != nil {
			differences = append(differences, got.err.Error())
			continue
		}
		t.add(got)
	}
	return append(differences, t.compare(p.Expect)...)
}

func (t *tally) add(got reply) {
	t.statuses[strconv.Itoa(got.status)]++
	if got.header.Get("Idempotency-Hit") == "true" {
		t.hits++
	}
	v, err := decode(got.body)
	if err != nil {
		return
	}
	object, _ := v.(map[string]any)
	if code, ok := object["errorCode"].(string); ok && code != "" {
		t.codes[code]++
	}
	data, _ := object["data"].(map[string]any)
	if id, ok := data["id"].(json.Number); ok {
		t.ids[id.String()] = true
	}
}

func (t *tally) compare(want expectation) []string {
	var differences []string
	inRange := func(name string, n int, w [2]int) {
		if n < w[0] || n > w[1] {
			differences = append(differences, fmt.Sprintf("%s: want %d..%d, got %d", name, w[0], w[1], n))
		}
	}
	for status, n := range t.statuses {
		if _, ok := want.ByStatus[status]; !ok {
			differences = append(differences, fmt.Sprintf("unexpected status %s (%d times)", status, n))
		}
	}
	for status, w := range want.ByStatus {
		inRange("status "+status, t.statuses[status], w)
	}
	for code, w := range want.ByErrorCode {
		inRange("errorCode "+code, t.codes[code], w)
	}
	if want.DistinctIDs != nil {
		inRange("distinct ids", len(t.ids), *want.DistinctIDs)
	}
	if want.IdempotencyHits != nil {
		inRange("idempotency hits", t.hits, *want.IdempotencyHits)
	}
	return differences
}
