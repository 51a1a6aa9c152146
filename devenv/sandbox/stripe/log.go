package stripe

import (
	"net/url"
	"sync"
	"time"
)

// logLinesMax bounds each log; older lines are forgotten.
const logLinesMax = 20_000

// requestLine is one API call as the request log shows it.
type requestLine struct {
	Time           time.Time  `json:"time"`
	RequestID      string     `json:"request_id"`
	Method         string     `json:"method"`
	Path           string     `json:"path"`
	Params         url.Values `json:"params"`
	IdempotencyKey string     `json:"idempotency_key,omitempty"`
	Account        string     `json:"account,omitempty"`
	Status         int        `json:"status"`
	Replayed       bool       `json:"replayed"`
	ErrorCode      string     `json:"error_code,omitempty"`
	TookMS         int64      `json:"took_ms"`
}

// deliveryLine is one attempt to deliver a webhook.
type deliveryLine struct {
	Time          time.Time `json:"time"`
	EventID       string    `json:"event_id"`
	Type          string    `json:"type"`
	PaymentIntent string    `json:"payment_intent,omitempty"`
	Account       string    `json:"account,omitempty"`
	Endpoint      string    `json:"endpoint"`
	Attempt       int       `json:"attempt"`
	Status        int       `json:"status,omitempty"`
	Error         string    `json:"error,omitempty"`
	Outcome       string    `json:"outcome"` // delivered, retrying, gave_up, dropped
}

// ring keeps the newest lines of a log, oldest first.
type ring[T any] struct {
	mu    sync.Mutex
	lines []T
	next  int // where the next line goes once the ring is full
}

func (l *ring[T]) add(line T) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.lines) < logLinesMax {
		l.lines = append(l.lines, line)
		return
	}
	l.lines[l.next] = line
	l.next = (l.next + 1) % logLinesMax
}

// all returns a copy, newest last.
func (l *ring[T]) all() []T {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := make([]T, 0, len(l.lines))
	return append(append(out, l.lines[l.next:]...), l.lines[:l.next]...)
}

func (l *ring[T]) clear() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines, l.next = nil, 0
}

type requestLog = ring[requestLine]

func newRequestLog() *requestLog { return &requestLog{} }
