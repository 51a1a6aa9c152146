package checkoutsvc_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	checkoutv1 "github.com/dayof/dayof/gen/dayof/checkout/v1"
	"github.com/dayof/dayof/internal/chassis/clock"
)

// TestPassesShowADispute disputes a payment and has the passes say so until the bank has decided, also when the dispute
// is heard of before the passes are issued.
func TestPassesShowADispute(t *testing.T) {
	w := newHarness(t)
	w.addReplica()
	for name, early := range map[string]bool{"after the sale": false, "before the passes": true} {
		s := w.start(map[bool]string{false: "late", true: "early"}[early], 2)
		o, intent := s.GetOrder(), s.GetPaymentIntentId()
		issue := make(chan struct{})
		if early {
			w.passes.mu.Lock()
			w.passes.before = func(ctx context.Context) error {
				select {
				case <-issue:
					return nil
				case <-ctx.Done():
					return ctx.Err()
				}
			}
			w.passes.mu.Unlock()
		}
		var payment sync.WaitGroup
		payment.Go(func() {
			if _, err := w.replicas[0].payments.RecordPayment(w.keyed("paid/"+o.GetId()), paid(o)); err != nil {
				t.Error(err)
			}
		})
		dispute := func(status checkoutv1.DisputeStatus) {
			t.Helper()
			_, err := w.replicas[1].payments.RecordDispute(w.keyed(status.String()+o.GetId()), &checkoutv1.RecordDisputeRequest{
				DisputeId: "du_" + o.GetId(), PaymentIntentId: intent, Status: status, Amount: o.GetTotal(), ObservedTime: timestamppb.New(clock.System{}.Now()),
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		w.waitFor(o.GetId(), "paid", func(o *checkoutv1.Order) bool { return len(o.GetTickets()) == 2 && (early || isComplete(o)) })
		dispute(checkoutv1.DisputeStatus_DISPUTE_STATUS_NEEDS_RESPONSE)
		close(issue)
		payment.Wait()
		w.waitFor(o.GetId(), "complete", isComplete)
		for _, step := range []struct {
			status checkoutv1.DisputeStatus
			want   bool
		}{{checkoutv1.DisputeStatus_DISPUTE_STATUS_UNDER_REVIEW, true}, {checkoutv1.DisputeStatus_DISPUTE_STATUS_WON, false}} {
			dispute(step.status)
			for _, ticket := range w.order(o.GetId()).GetTickets() {
				for deadline := (clock.System{}).Now().Add(patience); w.passes.isSuspended(ticket.GetId()) != step.want; <-time.After(10 * time.Millisecond) {
					if (clock.System{}).Now().After(deadline) {
						t.Fatalf("%s: dispute is %v, pass of ticket %s is on hold: %v", name, step.status, ticket.GetId(), !step.want)
					}
				}
			}
		}
	}
}

func isComplete(o *checkoutv1.Order) bool {
	return o.GetFulfilmentState() == checkoutv1.FulfilmentState_FULFILMENT_STATE_COMPLETED
}
