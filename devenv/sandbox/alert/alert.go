// Package alert is a sink for alerts: it takes what is posted and shows it as a JSON array, newest last.
package alert

import (
	"encoding/json"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/dayof/dayof/internal/chassis/clock"
)

// bodyMax bounds one alert, in bytes.
const bodyMax = 1 << 20

// Alert is one alert as it arrived.
type Alert struct {
	Time    time.Time         `json:"time"`
	Path    string            `json:"path"`
	Headers map[string]string `json:"headers"`
	// Body is the alert itself when it was JSON, else its text as a JSON string.
	Body json.RawMessage `json:"body"`
}

// Sink takes alerts by POST (any path, answer 202), shows them by GET and forgets them by DELETE.
type Sink struct {
	Clock clock.Clock

	mu     sync.Mutex
	alerts []Alert
}

// Alerts returns a copy, newest last.
func (s *Sink) Alerts() []Alert {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Alert{}, s.alerts...)
}

// ServeHTTP implements http.Handler.
func (s *Sink) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch r.Method {
	case http.MethodGet, http.MethodHead:
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(s.Alerts()) // the reader may be gone
	case http.MethodPost:
		s.take(w, r)
	case http.MethodDelete:
		s.mu.Lock()
		s.alerts = nil
		s.mu.Unlock()
		w.WriteHeader(http.StatusNoContent)
	default:
		w.Header().Set("Allow", "GET, HEAD, POST, DELETE")
		w.WriteHeader(http.StatusMethodNotAllowed)
	}
}

func (s *Sink) take(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, bodyMax))
	if err != nil {
		w.WriteHeader(http.StatusRequestEntityTooLarge)
		return
	}
	if !json.Valid(body) {
		if body, err = json.Marshal(string(body)); err != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
	}
	a := Alert{Time: s.Clock.Now(), Path: r.URL.Path, Headers: make(map[string]string, len(r.Header)), Body: body}
	for name := range r.Header {
		a.Headers[name] = r.Header.Get(name)
	}
	s.mu.Lock()
	s.alerts = append(s.alerts, a)
	s.mu.Unlock()
	w.WriteHeader(http.StatusAccepted)
}
