package checkoutsvc_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	checkoutv1 "github.com/dayof/dayof/gen/dayof/checkout/v1"
	"github.com/dayof/dayof/internal/chassis/clock"
	"github.com/dayof/dayof/internal/chassis/problem"
	"github.com/dayof/dayof/internal/chassis/rpc"
)

const (
	gatheringPlace = checkoutv1.WaitingRoomPlaceState_WAITING_ROOM_PLACE_STATE_GATHERING
	waitingPlace   = checkoutv1.WaitingRoomPlaceState_WAITING_ROOM_PLACE_STATE_WAITING
	admittedPlace  = checkoutv1.WaitingRoomPlaceState_WAITING_ROOM_PLACE_STATE_ADMITTED
	noPlace        = checkoutv1.WaitingRoomPlaceState_WAITING_ROOM_PLACE_STATE_NOT_NEEDED
)

// buyerContext is that of a caller without a token: the harness's clients are staff.
func (w *harness) buyerContext(key string) context.Context {
	return rpc.WithBearerToken(w.keyed(unguessable(key)), "")
}

// unguessable makes a key that the public may use.
func unguessable(key string) string {
	return fmt.Sprintf("%x", []byte(key+"/0123456789abcdefghijklmnopqrstuvwxyz"))
}

func (w *harness) setRoom(r *replica, key string, opens time.Time, perMinute int32, closed bool) (*checkoutv1.WaitingRoom, error) {
	res, err := r.rooms.SetWaitingRoom(w.keyed("room/"+key), &checkoutv1.SetWaitingRoomRequest{
		EventId: w.event.GetId(), OpenTime: timestamppb.New(opens), AdmissionsPerMinute: perMinute, Closed: closed,
	})
	return res.GetRoom(), err
}

func (w *harness) joinRoom(r *replica, key string) *checkoutv1.JoinWaitingRoomResponse {
	w.t.Helper()
	res, err := r.rooms.JoinWaitingRoom(w.buyerContext("join/"+key), &checkoutv1.JoinWaitingRoomRequest{EventId: w.event.GetId()})
	if err != nil {
		w.t.Fatalf("join waiting room: %v", err)
	}
	return res
}

func (w *harness) place(r *replica, token string) *checkoutv1.WaitingRoomPlace {
	w.t.Helper()
	res, err := r.rooms.GetWaitingRoomPlace(rpc.WithBearerToken(w.t.Context(), ""), &checkoutv1.GetWaitingRoomPlaceRequest{PlaceToken: token})
	if err != nil {
		w.t.Fatalf("get place: %v", err)
	}
	return res.GetPlace()
}

// startWith starts a checkout as a buyer with an admission token, and returns the reason of a refusal.
func (w *harness) startWith(r *replica, key, admission string) (*checkoutv1.StartCheckoutResponse, string) {
	w.t.Helper()
	cart := w.cart(1)
	cart.WaitingRoomToken = admission
	res, err := r.checkout.StartCheckout(w.buyerContext("start/"+key), cart)
	if err != nil && problem.Reason(err) == "" {
		w.t.Fatalf("start checkout: %v", err)
	}
	return res, problem.Reason(err)
}

// A crowd gathers on two replicas; places are drawn when the room opens, and each is let in at its turn and once.
func TestWaitingRoom(t *testing.T) {
	w := newHarness(t)
	fake := clock.NewFake(clock.System{}.Now())
	w.clock = fake
	replicas := []*replica{w.addReplica(), w.addReplica()}
	opens := fake.Now().Add(time.Hour)
	if _, err := w.setRoom(replicas[0], "ours", opens, 60, false); err != nil {
		t.Fatal(err)
	}
	const crowd = 40
	tokens := make([]string, crowd)
	var all sync.WaitGroup
	for i := range tokens {
		all.Go(func() {
			res := w.joinRoom(replicas[i%2], fmt.Sprint("early", i))
			if tokens[i] = res.GetPlaceToken(); res.GetPlace().GetState() != gatheringPlace || res.GetPlace().GetPollAfter().AsDuration() < 2*time.Second {
				t.Errorf("before the room opens a place is %v", res.GetPlace())
			}
		})
	}
	all.Wait()
	if _, reason := w.startWith(replicas[0], "early", ""); reason != "WAITING_ROOM_REQUIRED" {
		t.Errorf("without a token: %q", reason)
	}
	fake.Advance(time.Hour)
	before := map[int64]bool{}
	for i, token := range tokens {
		p := w.place(replicas[i%2], token)
		if before[p.GetBeforeCount()] = true; p.GetState() != waitingPlace || p.GetEstimatedWait().AsDuration() > time.Minute {
			t.Errorf("as the room opens a place is %v", p)
		}
	}
	if len(before) != crowd {
		t.Errorf("%d places share %d ranks", crowd, len(before))
	}
	late := w.joinRoom(replicas[1], "late")
	if late.GetPlace().GetBeforeCount() != crowd {
		t.Errorf("who comes late has %v", late.GetPlace())
	}
	fake.Advance(10 * time.Second)
	admitted := slices.DeleteFunc(slices.Clone(tokens), func(token string) bool { return w.place(replicas[0], token).GetState() != admittedPlace })
	if len(admitted) != 10 {
		t.Fatalf("after 10 seconds at 60 a minute %d are let in", len(admitted))
	}
	room, err := replicas[1].rooms.GetWaitingRoom(w.keyed("look"), &checkoutv1.GetWaitingRoomRequest{EventId: w.event.GetId()})
	if err != nil || room.GetRoom().GetJoinedCount() != crowd+1 || room.GetRoom().GetAdmittedCount() != 10 {
		t.Errorf("staff see %v, %v", room, err)
	}
	if _, err := w.setRoom(replicas[0], "other time", opens.Add(time.Hour), 60, false); problem.Reason(err) != "WAITING_ROOM_OPEN" {
		t.Errorf("another open time of an open room: %v", err)
	}
	if _, err := w.setRoom(replicas[0], "halt", opens, 0, false); err != nil {
		t.Fatal(err)
	}
	fake.Advance(time.Hour)
	if p := w.place(replicas[0], admitted[0]); p.GetState() != admittedPlace {
		t.Errorf("who was let in is %v after the room was halted", p)
	}
	if p := w.place(replicas[0], late.GetPlaceToken()); p.GetState() != waitingPlace || p.GetEstimatedWait() != nil || p.GetBeforeCount() != crowd-10 {
		t.Errorf("who waits is %v after the room was halted", p)
	}
	if _, err := w.setRoom(replicas[0], "closed", opens, 0, true); err != nil {
		t.Fatal(err)
	}
	if res := w.joinRoom(replicas[1], "closed"); res.GetPlace().GetState() != noPlace || res.GetPlaceToken() != "" {
		t.Errorf("a closed room gives %v", res)
	}
	if _, reason := w.startWith(replicas[0], "closed", ""); reason != "" {
		t.Errorf("with a closed room a checkout is refused: %s", reason)
	}
}

// A place has one order at a time, whatever replica and however many tabs, and no other one once it has bought.
func TestPlaceHasOneOrder(t *testing.T) {
	w := newHarness(t)
	fake := clock.NewFake(clock.System{}.Now())
	w.clock = fake
	replicas := []*replica{w.addReplica(), w.addReplica()}
	if _, err := w.setRoom(replicas[0], "ours", fake.Now(), 600, false); err != nil {
		t.Fatal(err)
	}
	admit := func(key string) string {
		token := w.joinRoom(replicas[0], key).GetPlaceToken()
		fake.Advance(2 * time.Second)
		return w.place(replicas[1], token).GetAdmissionToken()
	}
	token := admit("mine")
	for round := range 3 { // in each the buyer gives the order back
		var all sync.WaitGroup
		var mu sync.Mutex
		var started []*checkoutv1.StartCheckoutResponse
		for i := range 12 {
			all.Go(func() {
				res, reason := w.startWith(replicas[i%2], fmt.Sprint(round, "tab", i), token)
				mu.Lock()
				defer mu.Unlock()
				if reason == "" {
					started = append(started, res)
				} else if reason != "WAITING_ROOM_PLACE_USED" {
					t.Errorf("refused: %s", reason)
				}
			})
		}
		all.Wait()
		if len(started) != 1 {
			t.Fatalf("round %d: one place has %d open orders", round, len(started))
		}
		if round < 2 {
			w.cancel(replicas[0], fmt.Sprint(round), started[0])
			continue
		}
		w.confirm(started[0].GetPaymentIntentId())
		if _, err := w.replicas[0].payments.RecordPayment(w.keyed("paid"), paid(started[0].GetOrder())); err != nil {
			t.Fatal(err)
		}
	}
	if _, reason := w.startWith(replicas[1], "again", token); reason != "WAITING_ROOM_PLACE_USED" {
		t.Errorf("a place that has bought buys again: %q", reason)
	}
	if n := w.count("select count(*) from waiting_room_orders"); n != 1 {
		t.Errorf("%d places have an order", n)
	}
}

func TestWaitingRoomTokens(t *testing.T) {
	w := newHarness(t)
	fake := clock.NewFake(clock.System{}.Now())
	w.clock = fake
	r := w.addReplica()
	if res := w.joinRoom(r, "without a room"); res.GetPlace().GetState() != noPlace {
		t.Errorf("an event without a room gives %v", res)
	}
	if _, err := r.rooms.JoinWaitingRoom(w.buyerContext("unknown"), &checkoutv1.JoinWaitingRoomRequest{EventId: "eventOfNobody000001"}); problem.Reason(err) != "EVENT_NOT_FOUND" {
		t.Errorf("the room of no event: %v", err)
	}
	if _, err := r.rooms.GetWaitingRoom(w.keyed("none"), &checkoutv1.GetWaitingRoomRequest{EventId: w.event.GetId()}); problem.Reason(err) != "WAITING_ROOM_NOT_FOUND" {
		t.Errorf("an event without a room: %v", err)
	}
	if _, err := w.setRoom(r, "ours", fake.Now(), 600, false); err != nil {
		t.Fatal(err)
	}
	fake.Advance(time.Second)
	joined := w.joinRoom(r, "mine")
	fake.Advance(2 * time.Second)
	place := w.place(r, joined.GetPlaceToken())
	changed := func(token, old, new string) string { return strings.Replace(token, old, new, 1) }
	for name, token := range map[string]string{
		"none": "", "a place's": joined.GetPlaceToken(), "a place's, renamed": changed(joined.GetPlaceToken(), "wrp", "wra"),
		"another number": changed(place.GetAdmissionToken(), "."+w.event.GetId()+".0.", "."+w.event.GetId()+".1."),
		"another event":  changed(place.GetAdmissionToken(), w.event.GetId(), "eventOfNobody000001"),
		"cut off":        place.GetAdmissionToken()[:20], "of another key": changed(place.GetAdmissionToken(), "wra.1.", "wra.2."),
	} {
		if _, reason := w.startWith(r, name, token); reason != "WAITING_ROOM_REQUIRED" {
			t.Errorf("with the token %s: %q", name, reason)
		}
		if token == joined.GetPlaceToken() || token == "" {
			continue
		}
		if _, err := r.rooms.GetWaitingRoomPlace(rpc.WithBearerToken(t.Context(), ""), &checkoutv1.GetWaitingRoomPlaceRequest{PlaceToken: token}); problem.Reason(err) != "WAITING_ROOM_PLACE_INVALID" {
			t.Errorf("the place of the token %s: %v", name, err)
		}
	}
	staff := w.cart(1)
	if _, err := r.checkout.StartCheckout(w.keyed("staff"), staff); err != nil {
		t.Errorf("staff wait: %v", err)
	}
	fake.Advance(place.GetAdmissionExpireTime().AsTime().Sub(fake.Now()))
	if _, reason := w.startWith(r, "expired", place.GetAdmissionToken()); reason != "WAITING_ROOM_REQUIRED" {
		t.Errorf("with an expired token: %q", reason)
	}
	if _, reason := w.startWith(r, "renewed", w.place(r, joined.GetPlaceToken()).GetAdmissionToken()); reason != "" {
		t.Errorf("with a new token of the same place: %q", reason)
	}
}
