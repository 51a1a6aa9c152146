package stripe

import (
	"net/http"
	"sync"

	"golang.org/x/time/rate"
)

// rateLimits refuse what comes too often: of all calls of an account, and of each of its endpoints.
//
// Source: Stripe, "Rate limits": 429 with code rate_limit, and a header that says which limit it was.
type rateLimits struct {
	mu      sync.Mutex
	buckets map[rateLimited]*rate.Limiter
}

// rateLimited is what one limit is for; the endpoint is empty for all of them.
type rateLimited struct{ account, endpoint string }

// allows counts one more call, and says whether it is within a limit of so many a second; 0 is no limit.
func (l *rateLimits) allows(of rateLimited, perSecond int) bool {
	if perSecond <= 0 {
		return true
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	bucket := l.buckets[of]
	if bucket == nil || bucket.Burst() != perSecond {
		bucket = rate.NewLimiter(rate.Limit(perSecond), perSecond)
		l.buckets[of] = bucket
	}
	return bucket.Allow()
}

// limit refuses a call that is one too many.
func (s *Server) limit(header http.Header, hr *http.Request) *apiError {
	s.mu.Lock()
	all, each := s.settings.CallsPerSecond, s.settings.CallsPerEndpoint
	s.mu.Unlock()
	account := hr.Header.Get("Stripe-Account")
	var reason string
	switch {
	case !s.rates.allows(rateLimited{account: account}, all):
		reason = "global-rate"
	case !s.rates.allows(rateLimited{account, hr.Pattern}, each):
		reason = "endpoint-rate"
	default:
		return nil
	}
	header.Set("Stripe-Rate-Limited-Reason", reason)
	return &apiError{status: http.StatusTooManyRequests, Type: typeInvalidRequest, Code: "rate_limit", Message: "Request rate limit exceeded."}
}
