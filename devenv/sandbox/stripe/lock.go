package stripe

import (
	"net/http"
	"strings"
	"sync"
	"time"
)

// paymentLocks are held by calls that change a payment: its intent, charge and refunds. Two of them at once wait for each other, for a while.
//
// Source: Stripe's page "Error codes", lock_timeout.
type paymentLocks struct {
	mu   sync.Mutex
	held map[string]chan struct{} // closed when the holder is done
}

func newPaymentLocks() *paymentLocks { return &paymentLocks{held: map[string]chan struct{}{}} }

// lockPayment takes the lock of the payment that a call changes, if it names one; unlock gives it back.
func (s *Server) lockPayment(r *request) (unlock func(), refusal *apiError) {
	id := s.paymentOf(r)
	if id == "" {
		return func() {}, nil
	}
	s.mu.Lock()
	patience := time.Duration(s.settings.LockTimeoutMS) * time.Millisecond
	s.mu.Unlock()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	l := s.locks
	for {
		l.mu.Lock()
		holder, taken := l.held[id]
		if !taken {
			mine := make(chan struct{})
			l.held[id] = mine
			l.mu.Unlock()
			return func() {
				l.mu.Lock()
				delete(l.held, id)
				l.mu.Unlock()
				close(mine)
			}, nil
		}
		l.mu.Unlock()
		select {
		case <-holder:
		case <-timer.C:
			e := invalid("", "lock_timeout", "This object cannot be accessed right now because another API request or Stripe process is currently accessing it. "+
				"If you see this error intermittently, retry the request. If you see this error frequently and are making multiple concurrent requests "+
				"to a single object, make your requests serially or at a lower rate.")
			e.status = http.StatusTooManyRequests
			return nil, e
		}
	}
}

// paymentOf is the payment that a call changes, by its intent where it has one; empty for reads and for what is about none.
func (s *Server) paymentOf(r *request) string {
	if r.http.Method != http.MethodPost {
		return ""
	}
	id, _, _ := strings.Cut(strings.TrimPrefix(r.http.URL.Path, "/v1/"), "?")
	parts := strings.Split(id, "/")
	if len(parts) > 1 {
		id = parts[1]
	} else if id = r.params.text("payment_intent"); id == "" {
		id = r.params.text("charge")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if e := s.store.entries[id]; e != nil {
		if intent := intentOf(e.obj); intent != "" {
			return intent
		}
	}
	return id
}
