package webhooksvc

import (
	"fmt"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/timestamppb"

	webhookv1 "github.com/dayof/dayof/gen/dayof/webhook/v1"
	"github.com/dayof/dayof/internal/chassis/clock"
	"github.com/dayof/dayof/internal/chassis/problem"
	"github.com/dayof/dayof/internal/chassis/rpc"
)

const (
	received = webhookv1.WebhookEventState_WEBHOOK_EVENT_STATE_RECEIVED
	deferred = webhookv1.WebhookEventState_WEBHOOK_EVENT_STATE_DEFERRED
	applied  = webhookv1.WebhookEventState_WEBHOOK_EVENT_STATE_APPLIED
	dead     = webhookv1.WebhookEventState_WEBHOOK_EVENT_STATE_DEAD
)

func TestGetWebhookEvent(t *testing.T) {
	t.Parallel()
	w := newQuietHarness(t, nil)
	body := story(t, "a11-payout.paid")
	w.deliver(t, accountPath, accountSecret, body).must(t)
	const id = "evt_1QztQNYu43UWUcve0mJoiQIWOK2"
	got, err := w.client.GetWebhookEvent(t.Context(), &webhookv1.GetWebhookEventRequest{Endpoint: "account", EventId: id})
	if err != nil {
		t.Fatal(err)
	}
	e := got.GetEvent()
	if e.GetBody() != string(body) || e.GetType() != "payout.paid" || e.GetState() != received || e.GetDeliveryCount() != 1 ||
		e.GetObjectId() != "po_1Mjm5262z9BWUcve0mJMnOgEvRK" || e.GetCreateTime().GetSeconds() != 1764259200 || e.EndTime != nil {
		t.Errorf("event %v", e)
	}
	for _, r := range []*webhookv1.GetWebhookEventRequest{
		{Endpoint: "connect", EventId: id}, {Endpoint: "account", EventId: "evt_2"},
	} {
		if _, err := w.client.GetWebhookEvent(t.Context(), r); problem.Code(err) != connect.CodeNotFound || problem.Reason(err) != reasonEventNotFound {
			t.Errorf("%v: %v", r, err)
		}
	}
	// A body that is no UTF-8 in places that nobody reads is shown all the same.
	odd := []byte("{\"id\":\"evt_odd\",\"object\":\"event\",\"type\":\"moon.landed\",\"x\":\"\xff\"}")
	w.deliver(t, accountPath, accountSecret, odd).must(t)
	if _, err := w.client.GetWebhookEvent(t.Context(), &webhookv1.GetWebhookEventRequest{Endpoint: "account", EventId: "evt_odd"}); err != nil {
		t.Error(err)
	}
}

// TestListWebhookEvents reads the pages while rows arrive and change: each row that was there is listed once, the newest
// first.
func TestListWebhookEvents(t *testing.T) {
	t.Parallel()
	w := newQuietHarness(t, nil)
	seed := uint64(clock.System{}.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	const events = 45
	for i := range events {
		w.clock.Advance(time.Second)
		w.deliver(t, accountPath, accountSecret, intentBody(fmt.Sprintf("evt_%d", i))).must(t)
	}
	w.exec(t, "UPDATE webhook_events SET state = 'deferred' WHERE id % 3 = 0")
	w.exec(t, "UPDATE webhook_events SET state = 'applied', end_time = now() WHERE id % 3 = 1")

	for name, c := range map[string]struct {
		filter *webhookv1.WebhookEventFilter
		want   int
	}{
		"all":           {nil, events},
		"empty filter":  {&webhookv1.WebhookEventFilter{}, events},
		"deferred":      {&webhookv1.WebhookEventFilter{State: deferred}, events / 3},
		"received":      {&webhookv1.WebhookEventFilter{State: received}, events / 3},
		"applied":       {&webhookv1.WebhookEventFilter{State: applied}, events / 3},
		"dead":          {&webhookv1.WebhookEventFilter{State: dead}, 0},
		"of a type":     {&webhookv1.WebhookEventFilter{Type: "payment_intent.succeeded"}, events},
		"of no type":    {&webhookv1.WebhookEventFilter{Type: "charge.succeeded"}, 0},
		"of an object":  {&webhookv1.WebhookEventFilter{ObjectId: "pi_evt_7"}, 1},
		"range of time": {&webhookv1.WebhookEventFilter{ReceiveTimeFrom: timestamppb.New(storyTime.Add(11 * time.Second)), ReceiveTimeUntil: timestamppb.New(storyTime.Add(21 * time.Second))}, 10},
	} {
		var ids []string
		request := &webhookv1.ListWebhookEventsRequest{Filter: c.filter}
		for {
			request.PageSize = random.Int32N(20)
			page, err := w.client.ListWebhookEvents(t.Context(), request)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			for _, e := range page.GetEvents() {
				if e.GetBody() != "" {
					t.Error("a list carries bodies")
				}
				ids = append(ids, e.GetEventId())
			}
			if request.PageToken = page.GetNextPageToken(); request.GetPageToken() == "" {
				break
			}
		}
		if len(ids) != c.want {
			t.Errorf("%s: %d events, want %d", name, len(ids), c.want)
		}
		if len(slices.Compact(slices.Sorted(slices.Values(ids)))) != len(ids) {
			t.Errorf("%s: an event was listed twice", name)
		}
		if name == "all" && (ids[0] != "evt_44" || ids[events-1] != "evt_0") {
			t.Errorf("order %v", ids)
		}
	}

	page, err := w.client.ListWebhookEvents(t.Context(), &webhookv1.ListWebhookEventsRequest{PageSize: 1})
	if err != nil {
		t.Fatal(err)
	}
	for name, r := range map[string]*webhookv1.ListWebhookEventsRequest{
		"token of another filter": {PageToken: page.GetNextPageToken(), Filter: &webhookv1.WebhookEventFilter{State: deferred}},
		"made-up token":           {PageToken: "AAAAAAAAAAEAAAAAAAAAAA"},
		"token that is none":      {PageToken: "next please"},
		"page too large":          {PageSize: 201},
		"impossible time":         {Filter: &webhookv1.WebhookEventFilter{ReceiveTimeFrom: &timestamppb.Timestamp{Seconds: 1 << 60}}},
	} {
		if _, err := w.client.ListWebhookEvents(t.Context(), r); problem.Code(err) != connect.CodeInvalidArgument ||
			problem.Reason(err) != problem.ReasonInvalidField || len(problem.Fields(err)) == 0 {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestListHandlers(t *testing.T) {
	t.Parallel()
	w := newQuietHarness(t, nil)
	got, err := w.client.ListHandlers(t.Context(), &webhookv1.ListHandlersRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if len(got.GetHandlers()) != len(allHandlers()) ||
		!slices.IsSortedFunc(got.GetHandlers(), func(a, b *webhookv1.Handler) int {
			if a.GetType() < b.GetType() {
				return -1
			}
			return 1
		}) {
		t.Errorf("handlers %v", got.GetHandlers())
	}
}

func TestReplayWebhookEvents(t *testing.T) {
	t.Parallel()
	w := newHarness(t, nil)
	w.peers.answerWith(func(peerCall) error { return problem.InvalidField("amount", "must be positive") })
	ids := []string{"evt_1", "evt_2", "evt_3"}
	for _, id := range ids {
		w.deliver(t, accountPath, accountSecret, intentBody(id)).must(t)
		w.awaitState(t, id, stateDead)
		w.clock.Advance(time.Minute)
	}
	w.peers.answerWith(nil)
	before := len(w.peers.got())

	replay := func(key string, r *webhookv1.ReplayWebhookEventsRequest) (int64, error) {
		res, err := w.client.ReplayWebhookEvents(rpc.WithIdempotencyKey(t.Context(), key), r)
		return res.GetEventCount(), err
	}
	deadOnes := &webhookv1.WebhookEventFilter{State: dead}

	for name, c := range map[string]struct {
		request *webhookv1.ReplayWebhookEventsRequest
		want    int64
		reason  string
	}{
		"by filter":               {&webhookv1.ReplayWebhookEventsRequest{Filter: deadOnes}, 3, ""},
		"by id":                   {&webhookv1.ReplayWebhookEventsRequest{EventIds: []string{"evt_2"}}, 1, ""},
		"ids override the filter": {&webhookv1.ReplayWebhookEventsRequest{EventIds: []string{"evt_2"}, Filter: deadOnes}, 1, ""},
		"by time": {&webhookv1.ReplayWebhookEventsRequest{Filter: &webhookv1.WebhookEventFilter{
			State: dead, ReceiveTimeFrom: timestamppb.New(storyTime.Add(time.Minute)),
		}}, 2, ""},
		"nothing fits":          {&webhookv1.ReplayWebhookEventsRequest{Filter: &webhookv1.WebhookEventFilter{Type: "moon.landed"}}, 0, ""},
		"an unknown id":         {&webhookv1.ReplayWebhookEventsRequest{EventIds: []string{"evt_1", "evt_9"}}, 0, reasonEventNotFound},
		"no choice":             {&webhookv1.ReplayWebhookEventsRequest{}, 0, problem.ReasonInvalidField},
		"an empty filter":       {&webhookv1.ReplayWebhookEventsRequest{Filter: &webhookv1.WebhookEventFilter{}}, 0, problem.ReasonInvalidField},
		"a note that is a book": {&webhookv1.ReplayWebhookEventsRequest{Filter: deadOnes, Note: string(make([]byte, 201))}, 0, problem.ReasonInvalidField},
	} {
		c.request.DryRun = true
		if got, err := replay("dry/"+name2key(name), c.request); got != c.want || problem.Reason(err) != c.reason {
			t.Errorf("dry run %s: %d, %v", name, got, err)
		}
		if c.reason != "" {
			c.request.DryRun = false
			if _, err := replay("wet/"+name2key(name), c.request); problem.Reason(err) != c.reason {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	if got := len(w.peers.got()); got != before || w.count(t, "SELECT count(*) FROM webhook_replays") != 0 {
		t.Fatal("a dry run or a refusal had an effect")
	}

	if got, err := replay("one", &webhookv1.ReplayWebhookEventsRequest{EventIds: []string{"evt_1"}, Note: "checkoutsvc is fixed"}); got != 1 || err != nil {
		t.Fatalf("%d, %v", got, err)
	}
	w.awaitState(t, "evt_1", stateApplied)
	if open := w.deadAlerts(t); len(open) != 2 {
		t.Errorf("open alerts %v", open)
	}
	if got := w.row(t, "evt_2"); got.State != stateDead {
		t.Errorf("evt_2 is %s", got.State)
	}
	// The same key again: the same answer, no second run. The same key for another choice: refused.
	if got, err := replay("one", &webhookv1.ReplayWebhookEventsRequest{EventIds: []string{"evt_1"}, Note: "checkoutsvc is fixed"}); got != 1 || err != nil {
		t.Errorf("%d, %v", got, err)
	}
	if _, err := replay("one", &webhookv1.ReplayWebhookEventsRequest{EventIds: ids, Note: "checkoutsvc is fixed"}); problem.Reason(err) != problem.ReasonIdempotencyKeyReused {
		t.Errorf("key used again: %v", err)
	}
	if got, err := replay("rest", &webhookv1.ReplayWebhookEventsRequest{Filter: deadOnes, Note: "and the rest"}); got != 2 || err != nil {
		t.Fatalf("%d, %v", got, err)
	}
	for _, id := range ids {
		w.awaitState(t, id, stateApplied)
	}
	// An applied event runs once more, under keys of its own.
	if got, err := replay("again", &webhookv1.ReplayWebhookEventsRequest{EventIds: []string{"evt_1"}}); got != 1 || err != nil {
		t.Fatalf("%d, %v", got, err)
	}
	await(t, "the second replay", func() bool {
		return slices.ContainsFunc(w.peers.got(), func(c peerCall) bool { return c.key == "webhook/account/evt_1/replay-2" })
	})
	if got := len(w.peers.got()) - before; got != 4 {
		t.Errorf("%d calls by replays, want 4", got)
	}
	var note, caller string
	var count int64
	err := w.pool.QueryRow(t.Context(), "SELECT note, caller, event_count FROM webhook_replays ORDER BY id LIMIT 1").Scan(&note, &caller, &count)
	if err != nil || note != "checkoutsvc is fixed" || caller != "operator" || count != 1 {
		t.Errorf("record %q %q %d %v", note, caller, count, err)
	}
}

// name2key turns the name of a case into an idempotency key.
func name2key(name string) string { return fmt.Sprintf("%x", name) }

// TestReplayFingerprint pins what the key of a replay stands for.
func TestReplayFingerprint(t *testing.T) {
	t.Parallel()
	got := fmt.Sprintf("%x", replayFingerprint(&webhookv1.ReplayWebhookEventsRequest{
		EventIds: []string{"evt_2", "evt_1"},
		Filter:   &webhookv1.WebhookEventFilter{State: dead, Type: "charge.updated", ReceiveTimeFrom: timestamppb.New(storyTime), ObjectId: "ch_1"},
		Note:     "note",
	}))
	if want := "ef707a111d46f7fe3bb1c3c068239ada01babb9c5e9211506639708294bf0043"; got != want {
		t.Errorf("fingerprint %s, want %s; raise replayFingerprintVersion when its fields change", got, want)
	}
}

// TestUnauthorised refuses calls without the operator token.
func TestUnauthorised(t *testing.T) {
	t.Parallel()
	w := newQuietHarness(t, nil)
	ctx := rpc.WithBearerToken(t.Context(), "somebody")
	_, err := w.client.ListWebhookEvents(ctx, &webhookv1.ListWebhookEventsRequest{})
	if problem.Code(err) != connect.CodeUnauthenticated {
		t.Error(err)
	}
}

// TestInstantsThatNobodyCanShow delivers events whose instants are milliseconds, as a test tool writes them: the list that
// contains them stays readable as JSON, and an object with such an instant is a malformed one.
func TestInstantsThatNobodyCanShow(t *testing.T) {
	t.Parallel()
	w := newHarness(t, nil)
	for i, created := range []string{"1764259200000", "253402300800", "1099511627775"} {
		id := fmt.Sprintf("evt_far%d", i)
		body := fmt.Sprintf(`{"id":%q,"object":"event","type":"moon.landed","created":%s,"data":{"object":{}}}`, id, created)
		w.deliver(t, accountPath, accountSecret, []byte(body)).must(t)
	}
	list, err := w.client.ListWebhookEvents(t.Context(), &webhookv1.ListWebhookEventsRequest{})
	if err != nil || len(list.GetEvents()) != 3 {
		t.Fatalf("%d events, %v", len(list.GetEvents()), err)
	}
	if _, err := protojson.Marshal(list); err != nil {
		t.Errorf("the list cannot be read as JSON: %v", err)
	}
	payout := strings.Replace(string(story(t, "a11-payout.paid")), `"object":{`, `"object":{"created":1764259200000,`, 1)
	payout = regexp.MustCompile(`"created":\s*1764259200\b`).ReplaceAllString(payout, `"created":1764259200000`)
	w.deliver(t, accountPath, accountSecret, []byte(payout)).must(t)
	w.awaitState(t, "evt_1QztQNYu43UWUcve0mJoiQIWOK2", "dead")
}
