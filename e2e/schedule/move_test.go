package schedule

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/dayof/dayof/devenv/client"
	"github.com/dayof/dayof/devenv/cluster"
	"github.com/dayof/dayof/devenv/idle"
	"github.com/dayof/dayof/devenv/invariant"
	"github.com/dayof/dayof/e2e/e2etest"
	checkoutv1 "github.com/dayof/dayof/gen/dayof/checkout/v1"
	passv1 "github.com/dayof/dayof/gen/dayof/pass/v1"
	"github.com/dayof/dayof/internal/chassis/clock"
)

const (
	// soldMax is how many passes are sold; what DAYOF_TEST_MOVE_PASSES wants beyond is copied from rows of these.
	soldMax = 200
	// kills is how often passsvc is killed while the event moves.
	kills = 2
	// pushWindow is how many devices passsvc may have claimed for notification, in two batches, when it dies: these may be told twice.
	pushWindow = 2 * 256
)

// moving is an event that is moved while it is on sale.
type moving struct {
	t       *testing.T
	m       *cluster.Cluster
	system  *client.Client
	variant *checkoutv1.Variant
	start   time.Time // after the move
}

// TestMoveWhileSalesGoOn moves an event with 200 passes, or as many as DAYOF_TEST_MOVE_PASSES says, while it is sold at DAYOF_TEST_MOVE_RATE
// sales a second, and kills passsvc twice and checkoutsvc once. Afterwards every pass, every later sale and every calendar file has the
// new time, and no phone was told twice, but for those that a process was telling when it died.
func TestMoveWhileSalesGoOn(t *testing.T) {
	passes := e2etest.Scale(t, "DAYOF_TEST_MOVE_PASSES", soldMax)
	rate := e2etest.Scale(t, "DAYOF_TEST_MOVE_RATE", 10)
	w := newMoving(t, passes)
	for i := range min(passes, soldMax) {
		w.register(i, w.sell())
	}
	if passes > soldMax {
		w.copyUntil(passes)
	}
	op := w.move()
	t.Logf("operation %s: %d tickets", op.GetId(), op.GetTotalTicketCount())
	later, began := w.sellOn(rate), clock.System{}.Now()
	w.kill("pass")
	w.kill("checkout")
	w.until(op.GetId(), "changing passes", func(op *checkoutv1.EventOperation) bool {
		return op.GetVisitedPassCount() > 0 || op.GetState() == checkoutv1.EventOperationState_EVENT_OPERATION_STATE_COMPLETED
	})
	w.kill("pass")
	done := w.until(op.GetId(), "completed", func(op *checkoutv1.EventOperation) bool {
		return op.GetState() == checkoutv1.EventOperationState_EVENT_OPERATION_STATE_COMPLETED
	})
	t.Logf("completed after %v: %v", clock.System{}.Now().Sub(began).Round(time.Millisecond), done)
	orders := later()
	orders = append(orders, w.sell())
	for _, id := range orders {
		e2etest.Await(t, w.system, id, "completed", e2etest.Completed)
	}
	t.Logf("%d sales while it moved", len(orders))
	w.check(passes, orders)
}

func newMoving(t *testing.T, passes int) *moving {
	t.Helper()
	c := e2etest.Config()
	c.Replicas, c.Program = 1, program(t)
	c.Settings = map[string]string{"DAYOF_PASS_BATCH_CHUNK": fmt.Sprint(max(20, min(500, passes/80)))}
	m := e2etest.StartCluster(t, c)
	system := client.NewClient(m.File)
	variant := e2etest.NewVariant(t, system, 4450, int64(passes)+100_000)
	event, err := system.Catalog.GetEvent(t.Context(), &checkoutv1.GetEventRequest{EventId: variant.GetEventId()})
	if err != nil {
		t.Fatal(err)
	}
	return &moving{t: t, m: m, system: system, variant: variant, start: event.GetEvent().GetStartTime().AsTime().AddDate(0, 0, 7).Add(90 * time.Minute)}
}

// program returns the dayof program: that of the setting, else one built now.
func program(t *testing.T) string {
	t.Helper()
	if path := os.Getenv("DAYOF_E2E_PROGRAM"); path != "" {
		return path
	}
	path := filepath.Join(t.TempDir(), "dayof")
	if out, err := exec.CommandContext(e2etest.Within(t, 5*time.Minute), "go", "build", "-o", path, "../../cmd/dayof").CombinedOutput(); err != nil {
		t.Fatalf("build dayof: %v\n%s", err, out)
	}
	return path
}

// sell sells one ticket, and returns its order.
func (w *moving) sell() string {
	w.t.Helper()
	sale, err := w.system.Sell(e2etest.Within(w.t, time.Minute), client.Purchase{VariantID: w.variant.GetId(), Tickets: 1, Via: client.ViaBoth})
	if err != nil {
		w.t.Fatal(err)
	}
	return sale.OrderID
}

func pushToken(i int) string { return fmt.Sprintf("%064x", i+1) }

// register has a phone of its own hear of an order's pass.
func (w *moving) register(i int, orderID string) {
	w.t.Helper()
	ctx := e2etest.Within(w.t, time.Minute)
	res, err := w.system.Passes.ListPasses(ctx, &passv1.ListPassesRequest{OrderId: orderID})
	if err != nil || len(res.GetPasses()) != 1 {
		w.t.Fatalf("passes of order %s: %v, %v", orderID, res, err)
	}
	p := res.GetPasses()[0]
	url := fmt.Sprintf("%s/v1/devices/device%d/registrations/%s/%s", w.m.File.PassURL, i, p.GetPassTypeIdentifier(), p.GetSerial())
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(fmt.Appendf(nil, `{"pushToken":%q}`, pushToken(i))))
	if err != nil {
		w.t.Fatal(err)
	}
	req.Header.Set("Authorization", "ApplePass "+p.GetAuthenticationToken())
	answer, err := w.system.HTTP.Do(req)
	if err != nil {
		w.t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	if answer.StatusCode != http.StatusCreated {
		w.t.Fatalf("register: %s", answer.Status)
	}
}

// move moves the event, and does not wait for what follows.
func (w *moving) move() *checkoutv1.EventOperation {
	w.t.Helper()
	ctx := e2etest.Within(w.t, time.Minute)
	req := &checkoutv1.MoveEventRequest{EventId: w.variant.GetEventId(), StartTime: timestamppb.New(w.start), Preview: true}
	seen, err := w.system.Events.MoveEvent(e2etest.Keyed(ctx), req)
	if err != nil {
		w.t.Fatal(err)
	}
	req.Preview, req.ConfirmationToken = false, seen.GetPreview().GetConfirmationToken()
	res, err := w.system.Events.MoveEvent(e2etest.Keyed(ctx), req)
	if err != nil {
		w.t.Fatal(err)
	}
	return res.GetOperation()
}

// sellOn sells at a rate until the returned function is called, which returns the orders that were paid.
func (w *moving) sellOn(rate int) (stop func() []string) {
	ctx, cancel := context.WithCancel(e2etest.Within(w.t, 10*time.Minute))
	var buyers sync.WaitGroup
	var mu sync.Mutex
	var orders []string
	buyers.Go(func() {
		tick := time.NewTicker(time.Second / time.Duration(rate))
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			buyers.Go(func() {
				ctx := context.WithoutCancel(ctx)
				cart, err := w.system.Start(ctx, w.variant, 1)
				if err != nil {
					return // checkoutsvc is being killed
				}
				if err := w.system.Pay(ctx, cart, client.ViaWebhook); err != nil {
					return
				}
				mu.Lock()
				defer mu.Unlock()
				orders = append(orders, cart.OrderID)
			})
		}
	})
	return func() []string {
		cancel()
		buyers.Wait()
		return orders
	}
}

// kill ends a service as a power cut does, and starts it again.
func (w *moving) kill(service string) {
	w.t.Helper()
	if err := w.m.Kill(service, 0); err != nil {
		w.t.Fatal(err)
	}
	if err := w.m.Restart(e2etest.Within(w.t, time.Minute), service, 0); err != nil {
		w.t.Fatal(err)
	}
}

// until waits until the operation is as wanted.
func (w *moving) until(id, what string, ok func(*checkoutv1.EventOperation) bool) *checkoutv1.EventOperation {
	w.t.Helper()
	ctx := e2etest.Within(w.t, 3*time.Minute)
	var last *checkoutv1.EventOperation
	for ctx.Err() == nil {
		res, err := w.system.Events.GetEventOperation(ctx, &checkoutv1.GetEventOperationRequest{EventOperationId: id})
		if err == nil {
			if last = res.GetOperation(); ok(last) {
				return last
			}
		}
		e2etest.Pause(ctx)
	}
	w.t.Fatalf("the operation is never %s: %v", what, last)
	return nil
}

// check looks at what everybody has afterwards.
func (w *moving) check(passes int, later []string) {
	w.t.Helper()
	if passes <= soldMax {
		e2etest.AwaitIdle(w.t, w.system, idle.Scope{})
		e2etest.AssertClean(w.t, w.m)
		w.checkMails(later)
	} else {
		w.awaitPushes(passes)
		w.checkSchedules()
	}
	w.checkPasses()
	w.checkPushes(passes)
}

// checkSchedules is AssertClean where most orders are copies, whose money nobody has.
func (w *moving) checkSchedules() {
	w.t.Helper()
	results, err := invariant.Run(e2etest.Within(w.t, 2*time.Minute), w.m.File)
	if err != nil {
		w.t.Fatal(err)
	}
	checked := 0
	for _, r := range results {
		switch r.Name {
		case "ticket_has_its_events_schedule", "pass_shows_its_events_schedule", "revision_has_its_pushes", "push_has_its_revision", "valid_ticket_has_its_pass":
			checked++
			if len(r.Violations) > 0 {
				w.t.Errorf("%d violations of %s, the first: %s", len(r.Violations), r.Name, r.Violations[0])
			}
		}
	}
	if checked != 5 {
		w.t.Errorf("%d invariants were checked", checked)
	}
}

// checkPasses wants every pass at the new time, and changed once at most.
func (w *moving) checkPasses() {
	w.t.Helper()
	var total, wrong, twice int
	err := e2etest.Connect(w.t, w.m, "pass").QueryRow(w.t.Context(), `select count(*),
			count(*) filter (where (content->'event'->>'start_time')::timestamptz <> date_trunc('second', $2::timestamptz)),
			count(*) filter (where revision > 2) from passes where event_id = $1`, w.variant.GetEventId(), w.start).Scan(&total, &wrong, &twice)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Logf("%d passes", total)
	if wrong > 0 || twice > 0 {
		w.t.Errorf("%d of %d passes do not show the new time, %d were changed more than once", wrong, total, twice)
	}
}

// checkPushes wants every phone that was registered before the move to be told once, but for those in the crash window.
func (w *moving) checkPushes(passes int) {
	w.t.Helper()
	var log []struct {
		DeviceToken string `json:"device_token"`
		Status      int    `json:"status"`
	}
	w.getJSON(w.m.File.Sandbox.APNsLogURL, &log)
	told := map[string]int{}
	for _, push := range log {
		if push.Status == http.StatusOK {
			told[strings.ToLower(push.DeviceToken)]++
		}
	}
	untold, again := 0, 0
	for i := range passes {
		switch n := told[pushToken(i)]; {
		case n == 0:
			untold++
		case n > 1+kills:
			w.t.Errorf("phone %d was told %d times", i, n)
		case n > 1:
			again++
		}
	}
	w.t.Logf("%d phones, %d notifications, %d phones told twice", passes, len(log), again)
	if untold > 0 || again > kills*pushWindow {
		w.t.Errorf("%d phones of %d were not told, %d twice; %d may have been", untold, passes, again, kills*pushWindow)
	}
}

func (w *moving) getJSON(url string, into any) {
	w.t.Helper()
	req, err := http.NewRequestWithContext(e2etest.Within(w.t, time.Minute), http.MethodGet, url, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	res, err := w.system.HTTP.Do(req)
	if err != nil {
		w.t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	if err := json.NewDecoder(res.Body).Decode(into); err != nil {
		w.t.Fatal(err)
	}
}
