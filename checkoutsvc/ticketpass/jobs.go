package ticketpass

import (
	"github.com/dayof/dayof/checkoutsvc/orderstore"
	"github.com/dayof/dayof/checkoutsvc/ticketcode"
	"github.com/dayof/dayof/gen/dayof/pass/v1/passv1connect"
)

// Jobs are the jobs that have passes follow their tickets. All fields are required.
type Jobs struct {
	Orders *orderstore.Store
	Passes passv1connect.PassServiceClient
	Codes  ticketcode.Keys
}
