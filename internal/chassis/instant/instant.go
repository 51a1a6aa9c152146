// Package instant says which instants may be stored: those that every protocol and program that shows them can write.
package instant

import "time"

// The bounds are far outside of any show that is sold, and far inside of what Postgres, RFC 3339 and protobuf's JSON can
// write: one instant outside of the years 1 to 9999 in a row makes every list that contains it unreadable. Milliseconds
// that are taken for seconds lie beyond the last one.
var (
	// First is the first instant that is valid.
	First = time.Unix(0, 0).UTC()
	// End is the first instant that is not valid any more.
	End = time.Date(2200, 1, 1, 0, 0, 0, 0, time.UTC)
)

// Rule is the sentence for people about an instant that is not valid.
const Rule = "must be an instant from the year 1970 to 2199, in seconds where it is a number"

// Valid reports whether an instant may be stored.
func Valid(t time.Time) bool { return !t.Before(First) && t.Before(End) }

// FromUnix returns the instant of Unix seconds that somebody else wrote, or otherwise where they are no valid one.
func FromUnix(seconds int64, otherwise time.Time) time.Time {
	if t := time.Unix(seconds, 0).UTC(); Valid(t) {
		return t
	}
	return otherwise
}
