// Package diagnosis has what an examination of a deployment finds: for a person who reads it before the service starts, or at night.
package diagnosis

import (
	"fmt"
	"time"
)

// Timeout bounds one question to another party.
const Timeout = 5 * time.Second

// Finding is one thing that was examined.
type Finding struct {
	Name   string `json:"name"`
	OK     bool   `json:"ok"`
	Detail string `json:"detail"` // never a value of a secret
}

// Findings are added to as they are made. The zero value has none.
type Findings []Finding

// OK adds something that is as it should be.
func (f *Findings) OK(name, format string, args ...any) {
	*f = append(*f, Finding{Name: name, OK: true, Detail: fmt.Sprintf(format, args...)})
}

// Problem adds something that somebody should see to.
func (f *Findings) Problem(name, format string, args ...any) {
	*f = append(*f, Finding{Name: name, Detail: fmt.Sprintf(format, args...)})
}

// Expiry adds when something ends to be good: a problem when less than early is left.
func (f *Findings) Expiry(name string, end, now time.Time, early time.Duration, format string, args ...any) {
	what := fmt.Sprintf(format, args...)
	left := end.Sub(now)
	switch {
	case left <= 0:
		f.Problem(name, "%s has expired at %s", what, end.UTC().Format(time.RFC3339))
	case left < early:
		f.Problem(name, "%s expires at %s, in %d days: renew it", what, end.UTC().Format(time.RFC3339), int(left.Hours()/24))
	default:
		f.OK(name, "%s is good until %s", what, end.UTC().Format(time.RFC3339))
	}
}
