package problem

import "strings"

// reasonPrefix is what the values of a contract's enum of reasons begin with.
const reasonPrefix = "REASON_"

// ReasonOf returns the reason that a value of a contract's enum Reason stands for, such as CAPTURE_NOT_POSTED for
// REASON_CAPTURE_NOT_POSTED.
func ReasonOf(value interface{ String() string }) string {
	return strings.TrimPrefix(value.String(), reasonPrefix)
}

// Is says whether err is a problem, or the answer of another service, with the reason of a value of a contract's enum.
func Is(err error, value interface{ String() string }) bool {
	return Reason(err) == ReasonOf(value)
}
