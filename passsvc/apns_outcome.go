package passsvc

import (
	"net/http"

	"github.com/sideshow/apns2"
)

// outcome is what an answer of APNs means. Source: Apple's "Handling notification responses".
type outcome int

const (
	outcomeSent    outcome = iota // taken; the rest is Apple's affair
	outcomeGone                   // the token has been dead since a time: forget it if it was not registered again after
	outcomeBad                    // the token is not ours: forget it, unless they all are, which is our mistake
	outcomeRetry                  // later
	outcomeBusy                   // this device gets too much: minutes later
	outcomeRefused                // we are wrong, not the token: stop sending, raise an alert, keep everything
)

// String is the outcome as metrics name it.
func (o outcome) String() string {
	switch o {
	case outcomeSent:
		return "sent"
	case outcomeGone:
		return "gone"
	case outcomeBad:
		return "bad_token"
	case outcomeRetry:
		return "retry"
	case outcomeBusy:
		return "busy"
	case outcomeRefused:
		return "refused"
	}
	return "unknown"
}

// classify says what a result means.
func classify(r pushResult) outcome {
	switch {
	case r.err != nil:
		return outcomeRetry
	case r.status == http.StatusOK:
		return outcomeSent
	case r.status == http.StatusGone:
		return outcomeGone
	case r.reason == apns2.ReasonBadDeviceToken, r.reason == apns2.ReasonDeviceTokenNotForTopic, r.reason == apns2.ReasonMissingDeviceToken:
		return outcomeBad
	case r.status == http.StatusTooManyRequests && r.reason != apns2.ReasonTooManyProviderTokenUpdates:
		return outcomeBusy
	case r.status >= http.StatusInternalServerError:
		return outcomeRetry
	}
	return outcomeRefused
}

// isOdd reports whether a refusal may be of the one push alone: what it names is no certificate, token or topic of ours. All
// pushes of a pass type have the same headers and payload, but for the device and the id.
func isOdd(r pushResult) bool {
	switch r.reason {
	case apns2.ReasonBadTopic, apns2.ReasonMissingTopic, apns2.ReasonTopicDisallowed:
		return false
	}
	return r.status != http.StatusForbidden && r.status != http.StatusTooManyRequests
}
