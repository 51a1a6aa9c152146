package passsvc

import (
	"net/http"

	"github.com/sideshow/apns2"
)

// verdict is what an answer of APNs means. Source: Apple's "Handling notification responses".
type verdict int

const (
	verdictSent    verdict = iota // taken; delivery is Apple's affair
	verdictGone                   // the token has been dead since a time: forget it if it was not told again after
	verdictBad                    // the token is not ours: forget it, unless they all are, which is our mistake
	verdictRetry                  // later
	verdictBusy                   // this device gets too much: minutes later
	verdictRefused                // we are wrong, not the token: stop sending, call somebody, keep everything
)

// String is the verdict as metrics name it.
func (v verdict) String() string {
	switch v {
	case verdictSent:
		return "sent"
	case verdictGone:
		return "gone"
	case verdictBad:
		return "bad_token"
	case verdictRetry:
		return "retry"
	case verdictBusy:
		return "busy"
	case verdictRefused:
		return "refused"
	}
	return "unknown"
}

// judge tells what a result means.
func judge(r pushResult) verdict {
	switch {
	case r.err != nil:
		return verdictRetry
	case r.status == http.StatusOK:
		return verdictSent
	case r.status == http.StatusGone:
		return verdictGone
	case r.reason == apns2.ReasonBadDeviceToken, r.reason == apns2.ReasonDeviceTokenNotForTopic, r.reason == apns2.ReasonMissingDeviceToken:
		return verdictBad
	case r.status == http.StatusTooManyRequests && r.reason != apns2.ReasonTooManyProviderTokenUpdates:
		return verdictBusy
	case r.status >= http.StatusInternalServerError:
		return verdictRetry
	}
	return verdictRefused
}
