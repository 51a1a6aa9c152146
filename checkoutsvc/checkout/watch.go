package checkout

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"

	"github.com/dayof/dayof/checkoutsvc/orderproto"
	checkoutv1 "github.com/dayof/dayof/gen/dayof/checkout/v1"
	passv1 "github.com/dayof/dayof/gen/dayof/pass/v1"
	"github.com/dayof/dayof/internal/chassis/clock"
	"github.com/dayof/dayof/internal/chassis/problem"
	"github.com/dayof/dayof/internal/chassis/rpc"
)

const (
	// waitReserve is what a call that waits keeps of its deadline for its answer.
	waitReserve = time.Second
	// passesTimeout bounds the question for an order's passes, without which it is answered too.
	passesTimeout = 3 * time.Second
)

// GetOrder implements CheckoutService.
func (s *Service) GetOrder(ctx context.Context, req *checkoutv1.GetOrderRequest) (*checkoutv1.GetOrderResponse, error) {
	o, version, err := s.buyerOrder(ctx, req.GetOrderId())
	if err != nil {
		return nil, err
	}
	if wait := time.Duration(req.GetWaitSeconds()) * time.Second; wait > 0 && version == req.GetKnownVersion() {
		if o, version, err = s.awaitChange(ctx, o, version, wait); err != nil {
			return nil, err
		}
	}
	res := &checkoutv1.GetOrderResponse{Order: o, Version: version}
	if req.GetWithPasses() {
		s.addPasses(ctx, res)
	}
	return res, nil
}

// buyerOrder reads the order of the caller's token, with its version.
func (s *Service) buyerOrder(ctx context.Context, orderID string) (*checkoutv1.Order, string, error) {
	o, err := s.orderOfToken(ctx, orderID)
	if err != nil {
		return nil, "", err
	}
	message := orderproto.BuyerOrderToProto(&o, s.Codes)
	version, err := versionOf(message)
	return message, version, err
}

// versionOf is a hash of all that a buyer sees of an order. After a new release it may be another one for the same order, which costs
// one answer more.
func versionOf(o *checkoutv1.Order) (string, error) {
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(o)
	if err != nil {
		return "", fmt.Errorf("hash order: %w", err)
	}
	sum := sha256.Sum256(b)
	return base64.RawURLEncoding.EncodeToString(sum[:15]), nil
}

// awaitChange waits until an order has another version, or for as long as is asked. Where too many wait it answers at once.
func (s *Service) awaitChange(ctx context.Context, o *checkoutv1.Order, version string, wait time.Duration) (*checkoutv1.Order, string, error) {
	if deadline, ok := ctx.Deadline(); ok {
		wait = min(wait, deadline.Sub(clock.System{}.Now())-waitReserve)
	}
	select {
	case s.waits <- struct{}{}:
		defer func() { <-s.waits }()
	default:
		return o, version, nil
	}
	watch, ok := s.watches.begin(o.GetId())
	if !ok {
		return o, version, nil
	}
	defer watch.End()
	over := time.NewTimer(wait)
	defer over.Stop()
	for {
		select {
		case <-watch.Changed:
			now, newer, err := s.buyerOrder(ctx, o.GetId())
			if err != nil || newer != version {
				return now, newer, err
			}
		case <-over.C:
			return o, version, nil
		case <-rpc.Draining(ctx):
			return o, version, nil
		case <-ctx.Done():
			return nil, "", ctx.Err()
		}
	}
}

// WatchOrder implements CheckoutService.
func (s *Service) WatchOrder(
	ctx context.Context, req *checkoutv1.WatchOrderRequest, stream *connect.ServerStream[checkoutv1.WatchOrderResponse],
) error {
	o, version, err := s.buyerOrder(ctx, req.GetOrderId())
	if err != nil {
		return err
	}
	watch, ok := s.watches.begin(o.GetId())
	if !ok {
		return errTooManyWatches()
	}
	defer watch.End()
	told := req.GetKnownVersion()
	heartbeats := time.NewTicker(rpc.StreamHeartbeat)
	defer heartbeats.Stop()
	if version == told { // something at once, so that the caller knows that the stream has begun
		if err := stream.Send(&checkoutv1.WatchOrderResponse{}); err != nil {
			return err
		}
	}
	for {
		if version != told {
			if err := stream.Send(&checkoutv1.WatchOrderResponse{Order: o, Version: version}); err != nil {
				return err
			}
			told = version
		}
		select {
		case <-watch.Changed:
			if o, version, err = s.buyerOrder(ctx, req.GetOrderId()); err != nil {
				return err
			}
		case <-heartbeats.C:
			if err := stream.Send(&checkoutv1.WatchOrderResponse{}); err != nil {
				return err
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// errTooManyWatches refuses a stream beyond the limit.
func errTooManyWatches() error {
	p := problem.New(connect.CodeResourceExhausted, "TOO_MANY_WATCHES", "the order is watched by too many at once: close other pages of it, or call GetOrder")
	p.RetryAfter = rpc.StreamHeartbeat
	return p
}

// addPasses adds the passes of an order's tickets. An order is told without them when passsvc does not answer.
func (s *Service) addPasses(ctx context.Context, res *checkoutv1.GetOrderResponse) {
	states := map[string]checkoutv1.TicketState{}
	for _, t := range res.GetOrder().GetTickets() {
		if !t.GetTransferred() { // its pass is its holder's
			states[t.GetId()] = t.GetState()
		}
	}
	if len(states) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, passesTimeout)
	defer cancel()
	passes, err := s.Passes.ListPasses(ctx, &passv1.ListPassesRequest{OrderId: res.GetOrder().GetId()})
	if err != nil {
		res.PassesUnavailable = true
		return
	}
	res.OrderDownloadUrl = passes.GetOrderDownloadUrl()
	for _, p := range passes.GetPasses() {
		if state, ok := states[p.GetTicketId()]; ok && state != checkoutv1.TicketState_TICKET_STATE_VOID {
			res.Passes = append(res.Passes, &checkoutv1.TicketPass{
				TicketId: p.GetTicketId(), PassSerial: p.GetSerial(), DownloadUrl: p.GetDownloadUrl(), Suspended: p.GetSuspended(),
			})
		}
	}
}
