package stripe

import (
	"bytes"
	"cmp"
	"context"
	"io"
	"log/slog"
	"maps"
	mathrand "math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"time"
)

// Delivery bounds how events are sent. Zero fields take their defaults. Times are real, not the injected clock's.
type Delivery struct {
	Parallel    int           // deliveries at the same time; default 16
	Timeout     time.Duration // of one attempt; default 10 s
	RetryBase   time.Duration // wait after the first failure, doubled each time; default 500 ms
	RetryMax    time.Duration // longest wait; default 30 s
	AttemptsMax int           // then the event is given up, as Stripe does after three days; default 15 (about five minutes)
}

// Outcomes of a delivery.
const (
	deliveryOwed      = "owed"
	deliveryRetrying  = "retrying"
	deliveryDelivered = "delivered"
	deliveryGaveUp    = "gave_up"
	deliveryDropped   = "dropped"
)

// deliveryState is what became of one event at each endpoint that was owed it.
type deliveryState struct {
	mu   sync.Mutex
	open map[string]string // endpoint id -> outcome
}

func (st *deliveryState) set(endpoint, outcome string) {
	st.mu.Lock()
	defer st.mu.Unlock()
	st.open[endpoint] = outcome
}

// all returns a copy of the outcomes by endpoint.
func (st *deliveryState) all() map[string]string {
	st.mu.Lock()
	defer st.mu.Unlock()
	return maps.Clone(st.open)
}

// succeeded says whether every endpoint acknowledged the event.
func (st *deliveryState) succeeded() bool {
	for _, outcome := range st.all() {
		if outcome != deliveryDelivered {
			return false
		}
	}
	return true
}

// delivery is one event on its way to one endpoint.
type delivery struct {
	event    *Event
	endpoint string
	attempt  int
}

// deliverer sends signed events, at most Parallel at a time, in no promised order, each until it is acknowledged or given up.
type deliverer struct {
	s      *Server
	cfg    Delivery
	client *http.Client
	log    ring[deliveryLine]
	ctx    context.Context //nolint:containedctx // the life of the workers, ended by stop
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu        sync.Mutex // may be taken while the server's mutex is held, never the other way round
	wake      *sync.Cond
	random    *mathrand.Rand
	endpoints []Endpoint
	queue     []delivery
	inFlight  int
	scheduled int            // retries, delayed deliveries and late fees that wait for their timer
	pending   map[string]int // deliveries that are not concluded, by the payment intent of their event
	withheld  []delivery
	intents   map[string]bool // payment intents whose events are withheld
	stopped   bool
}

func newDeliverer(s *Server, cfg Delivery, seed uint64) *deliverer {
	cfg.Parallel = cmp.Or(cfg.Parallel, 16)
	cfg.Timeout = cmp.Or(cfg.Timeout, 10*time.Second)
	cfg.RetryBase = cmp.Or(cfg.RetryBase, 500*time.Millisecond)
	cfg.RetryMax = cmp.Or(cfg.RetryMax, 30*time.Second)
	cfg.AttemptsMax = cmp.Or(cfg.AttemptsMax, 15)
	d := &deliverer{
		s: s, cfg: cfg, intents: make(map[string]bool), pending: make(map[string]int),
		random: mathrand.New(mathrand.NewPCG(seed, 1)),
		client: &http.Client{
			Timeout:       cfg.Timeout,
			Transport:     &http.Transport{MaxIdleConnsPerHost: cfg.Parallel, MaxConnsPerHost: cfg.Parallel},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
	d.wake = sync.NewCond(&d.mu)
	d.ctx, d.cancel = context.WithCancel(context.Background())
	return d
}

func (d *deliverer) start() {
	for range d.cfg.Parallel {
		d.wg.Go(d.work)
	}
}

func (d *deliverer) stop() {
	d.mu.Lock()
	d.stopped = true
	d.wake.Broadcast()
	d.mu.Unlock()
	d.cancel()
	d.wg.Wait()
	d.client.CloseIdleConnections()
}

// enqueue starts the deliveries of new events, as the settings and withheld intents allow.
func (d *deliverer) enqueue(events []*Event) {
	if len(events) == 0 {
		return
	}
	d.s.mu.Lock()
	settings := d.s.settings
	d.s.mu.Unlock()
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, ev := range events {
		for _, endpoint := range slices.Sorted(maps.Keys(ev.delivery.all())) {
			dl := delivery{event: ev, endpoint: endpoint}
			if settings.Withhold || (ev.intent != "" && d.intents[ev.intent]) {
				d.withheld = append(d.withheld, dl)
				continue
			}
			d.admit(dl, settings)
		}
	}
}

// admit sends a delivery on its way: dropped, doubled or delayed as set. The mutex is held.
func (d *deliverer) admit(dl delivery, settings Settings) {
	if settings.DropRate > 0 && d.random.Float64() < settings.DropRate {
		d.conclude(dl, deliveryDropped, 0, nil)
		return
	}
	copies := 1
	if settings.DuplicateRate > 0 && d.random.Float64() < settings.DuplicateRate {
		copies = 2
	}
	for range copies {
		d.pending[dl.event.intent]++
		if settings.ShuffleMS > 0 {
			d.after(time.Duration(d.random.IntN(settings.ShuffleMS+1))*time.Millisecond, func() { d.push(dl) })
			continue
		}
		d.queue = append(d.queue, dl)
		d.wake.Signal()
	}
}

func (d *deliverer) push(dl delivery) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.queue = append(d.queue, dl)
	d.wake.Signal()
}

// after runs f once the time has passed, unless the server stops first. Until f has run it counts as work to do. The mutex is held.
func (d *deliverer) after(wait time.Duration, f func()) {
	if d.stopped {
		return
	}
	d.scheduled++
	d.wg.Go(func() {
		timer := time.NewTimer(wait)
		defer timer.Stop()
		select {
		case <-timer.C:
			f()
		case <-d.ctx.Done():
		}
		d.mu.Lock()
		d.scheduled--
		d.mu.Unlock()
	})
}

// later is after for callers that do not hold the mutex.
func (d *deliverer) later(delayMS int, f func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.after(time.Duration(delayMS)*time.Millisecond, f)
}

func (d *deliverer) work() {
	for {
		d.mu.Lock()
		for len(d.queue) == 0 && !d.stopped {
			d.wake.Wait()
		}
		if d.stopped {
			d.mu.Unlock()
			return
		}
		dl := d.queue[0]
		d.queue = d.queue[1:]
		d.inFlight++
		i := slices.IndexFunc(d.endpoints, func(e Endpoint) bool { return e.ID == dl.endpoint })
		var endpoint Endpoint
		if i >= 0 {
			endpoint = d.endpoints[i]
		}
		d.mu.Unlock()
		dl.attempt++
		again := false
		if i < 0 {
			d.conclude(dl, deliveryDropped, 0, nil)
		} else {
			again = d.try(dl, endpoint)
		}
		d.mu.Lock()
		d.inFlight--
		if !again {
			d.settle(dl.event.intent)
		}
		d.mu.Unlock()
	}
}

// settle counts a delivery about an intent as concluded. The mutex is held.
func (d *deliverer) settle(intent string) {
	if d.pending[intent]--; d.pending[intent] == 0 {
		delete(d.pending, intent)
	}
}

// try makes one attempt and reports whether another follows. Anything but a 2xx answer is a failure, redirects included.
func (d *deliverer) try(dl delivery, endpoint Endpoint) (again bool) {
	status, err := d.post(dl.event, endpoint)
	switch {
	case err == nil && status >= 200 && status < 300:
		d.conclude(dl, deliveryDelivered, status, nil)
	case d.ctx.Err() != nil: // stopped in mid-air: still owed
	case dl.attempt >= d.cfg.AttemptsMax:
		d.conclude(dl, deliveryGaveUp, status, err)
	default:
		d.conclude(dl, deliveryRetrying, status, err)
		d.mu.Lock()
		wait := min(d.cfg.RetryBase<<min(dl.attempt-1, 20), d.cfg.RetryMax)
		wait = wait/2 + time.Duration(d.random.Int64N(int64(wait/2)+1))
		d.after(wait, func() { d.push(dl) })
		d.mu.Unlock()
		return true
	}
	return false
}

// post signs and sends one event. Each attempt has a signature of its own time.
func (d *deliverer) post(ev *Event, endpoint Endpoint) (int, error) {
	body, err := encode(ev.body(endpoint.APIVersion))
	if err != nil {
		return 0, err
	}
	req, err := http.NewRequestWithContext(d.ctx, http.MethodPost, endpoint.URL, bytes.NewReader(body))
	if err != nil {
		return 0, err
	}
	req.Header.Set("Content-Type", "application/json; charset=utf-8")
	req.Header.Set("User-Agent", "Stripe/1.0 (+https://stripe.com/docs/webhooks)")
	req.Header.Set("Stripe-Signature", SignAll(append([]string{endpoint.Secret}, endpoint.OldSecrets...), d.s.clock.Now(), body))
	res, err := d.client.Do(req)
	if err != nil {
		return 0, err
	}
	defer res.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(res.Body, bodyMax)) // so that the connection can be used again
	return res.StatusCode, nil
}

// conclude records what an attempt came to, and in the journal that nothing is owed any more.
func (d *deliverer) conclude(dl delivery, outcome string, status int, err error) {
	line := deliveryLine{
		Time: d.s.clock.Now(), EventID: dl.event.ID, Type: dl.event.Type, PaymentIntent: dl.event.intent,
		Account: dl.event.Account, Endpoint: dl.endpoint, Attempt: dl.attempt, Status: status, Outcome: outcome,
	}
	if err != nil {
		line.Error = err.Error()
	}
	dl.event.delivery.set(dl.endpoint, outcome)
	d.log.add(line)
	if outcome == deliveryRetrying || d.s.journal == nil {
		return
	}
	if err := d.s.journal.append(journalLine{Delivery: &deliveryRecord{Event: dl.event.ID, Endpoint: dl.endpoint, Outcome: outcome}}); err != nil {
		d.s.logger.LogAttrs(d.ctx, slog.LevelError, "sandbox stripe cannot write its journal", slog.Any("error", err))
	}
}

// withhold keeps back the events of an intent from now on.
func (d *deliverer) withhold(intent string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.intents[intent] = true
}

// release lets the withheld events of an intent go, or of all with intent "": sent, or dropped for good. It returns how many.
func (d *deliverer) release(intent string, drop bool, settings Settings) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	if intent == "" {
		clear(d.intents)
	}
	delete(d.intents, intent)
	var kept []delivery
	released := 0
	for _, dl := range d.withheld {
		switch {
		case intent != "" && dl.event.intent != intent:
			kept = append(kept, dl)
			continue
		case drop:
			d.conclude(dl, deliveryDropped, 0, nil)
		default:
			d.admit(dl, settings)
		}
		released++
	}
	d.withheld = kept
	return released
}

// work to do, as the idle check shows it.
type idleState struct {
	Idle      bool `json:"idle"`
	Queued    int  `json:"queued"`
	InFlight  int  `json:"in_flight"`
	Scheduled int  `json:"scheduled"`
	Withheld  int  `json:"withheld"`
}

// idle counts the work that is left. Idle is whether none is left, of all events or of the events about some intents alone:
// of these, a fee that is not known yet is no event.
func (d *deliverer) idle(intents ...string) idleState {
	d.mu.Lock()
	defer d.mu.Unlock()
	open := len(d.queue) + d.inFlight + d.scheduled
	if len(intents) > 0 {
		open = 0
		for _, intent := range intents {
			open += d.pending[intent]
		}
	}
	return idleState{
		Idle:   open == 0,
		Queued: len(d.queue), InFlight: d.inFlight, Scheduled: d.scheduled, Withheld: len(d.withheld),
	}
}
