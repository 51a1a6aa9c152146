package sandbox

import (
	"maps"
	"net/http"
	"regexp"
	"strings"
	"sync"
)

// Call is a kind of call that a party answers over HTTP: ids in its path are written as {id}.
type Call struct {
	Party string // fault.Stripe or fault.Ledger
	Name  string // method and path, such as "GET /v1/charges/{id}"
}

// calls counts the calls of the parties.
type calls struct {
	mu     sync.Mutex
	counts map[Call]int64
}

// Calls returns how often each party was called so far; the sandbox's own controls do not count.
func (s *Sandbox) Calls() map[Call]int64 {
	s.calls.mu.Lock()
	defer s.calls.mu.Unlock()
	return maps.Clone(s.calls.counts)
}

// identifier is a segment of a path that names one object: of Stripe, such as pi_3Q..., or a number.
var identifier = regexp.MustCompile(`^([a-z]+_[A-Za-z0-9]*[0-9A-Z][A-Za-z0-9]*|[0-9]+)$`)

// kindOf is a path without the ids in it.
func kindOf(path string) string {
	segments := strings.Split(path, "/")
	for i, s := range segments {
		if identifier.MatchString(s) {
			segments[i] = "{id}"
		}
	}
	return strings.Join(segments, "/")
}

// count counts the calls of a party.
func (c *calls) count(party string, h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasPrefix(r.URL.Path, "/_sandbox/") {
			c.add(Call{Party: party, Name: r.Method + " " + kindOf(r.URL.Path)})
		}
		h.ServeHTTP(w, r)
	})
}

func (c *calls) add(call Call) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.counts == nil {
		c.counts = map[Call]int64{}
	}
	c.counts[call]++
}
