package stripe

import (
	"cmp"
	"encoding/json"
	"net/http"
	"slices"
)

// control wraps a handler of the control API: no authentication, JSON in and out, the same journal and webhooks. The
// handler gets an empty parameter set; what it returns is printed with status 200.
func (s *Server) control(handle handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, hr *http.Request) {
		r := &request{http: hr, id: s.newRequestID(), account: hr.URL.Query().Get("account")}
		r.params = newParams(nil)
		a, _ := s.execute(r, handle)
		s.settle(r, nil)
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(a.status)
		_, _ = w.Write(append(a.body, '\n')) // the caller may be gone; what was done stays done
	})
}

func (s *Server) controlRoutes() {
	for pattern, handle := range map[string]handler{
		"GET /_sandbox/webhook_endpoints":                  s.controlGetEndpoints,
		"PUT /_sandbox/webhook_endpoints":                  s.controlPutEndpoints,
		"GET /_sandbox/settings":                           s.controlGetSettings,
		"PATCH /_sandbox/settings":                         s.controlPatchSettings,
		"POST /_sandbox/webhooks/withhold":                 s.controlWithhold,
		"POST /_sandbox/webhooks/release":                  s.controlRelease,
		"POST /_sandbox/events/{id}/resend":                s.controlResend,
		"GET /_sandbox/idle":                               s.controlIdle,
		"GET /_sandbox/requests":                           s.controlRequests,
		"DELETE /_sandbox/requests":                        s.controlClearRequests,
		"GET /_sandbox/deliveries":                         s.controlDeliveries,
		"GET /_sandbox/events":                             s.controlEvents,
		"GET /_sandbox/objects":                            s.controlObjects,
		"PUT /_sandbox/objects/{id}":                       s.controlLoad,
		"POST /_sandbox/payment_intents/{id}/confirm":      s.controlConfirm,
		"POST /_sandbox/payment_intents/{id}/authenticate": s.controlAuthenticate,
		"POST /_sandbox/payment_intents/{id}/settle":       s.controlSettle,
		"POST /_sandbox/payment_intents/{id}/expire":       s.controlExpire,
		"POST /_sandbox/disputes":                          s.controlOpenDispute,
		"POST /_sandbox/disputes/{id}/close":               s.controlCloseDispute,
		"POST /_sandbox/disputes/{id}/escalate":            s.controlEscalate,
		"POST /_sandbox/disputes/{id}/reinstate":           s.controlReinstate,
		"POST /_sandbox/charges/{id}/early_fraud_warning":  s.controlFraudWarning,
		"POST /_sandbox/charges/{id}/review":               s.controlOpenReview,
		"POST /_sandbox/reviews/{id}/close":                s.controlCloseReview,
		"POST /_sandbox/accounts/{id}/bank_account":        s.controlBankAccount,
		"POST /_sandbox/payouts":                           s.controlSweep,
		"POST /_sandbox/payouts/{id}/in_transit":           s.controlTransit,
		"POST /_sandbox/payouts/{id}/paid":                 s.controlPay,
		"POST /_sandbox/payouts/{id}/fail":                 s.controlBounce,
		"PUT /_sandbox/accounts/{id}":                      s.controlPutAccount,
		"POST /_sandbox/accounts/{id}/deauthorize":         s.controlDeauthorize,
		"POST /_sandbox/refunds/{id}/fail":                 s.controlFailRefund,
		"POST /_sandbox/refunds/{id}/succeed":              s.controlSettleRefund,
		"POST /_sandbox/refunds/{id}/reference":            s.controlReference,
		"POST /_sandbox/refunds/{id}/require_action":       s.controlAskBuyer,
		"POST /_sandbox/refunds/{id}/cancel":               s.controlLapse,
	} {
		s.mux.Handle(pattern, s.control(handle))
	}
}

// read decodes the JSON body of a control call.
func (r *request) read(v any) *apiError {
	if err := readJSON(r.http, v); err != nil {
		return invalid("", "", "The body is not the JSON this call takes: %v", err)
	}
	return nil
}

func (s *Server) controlGetEndpoints(*request) (any, *apiError) {
	return s.deliverer.allEndpoints(), nil
}

func (s *Server) controlPutEndpoints(r *request) (any, *apiError) {
	var endpoints []Endpoint
	if e := r.read(&endpoints); e != nil {
		return nil, e
	}
	if err := s.deliverer.setEndpoints(endpoints); err != nil {
		return nil, invalid("", "", "%v", err)
	}
	return s.deliverer.allEndpoints(), nil
}

func (s *Server) controlGetSettings(*request) (any, *apiError) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.settings, nil
}

// controlPatchSettings changes the named settings only. Withhold turned off releases nothing: see controlRelease.
func (s *Server) controlPatchSettings(r *request) (any, *apiError) {
	s.mu.Lock()
	defer s.mu.Unlock()
	settings := s.settings
	if e := r.read(&settings); e != nil {
		return nil, e
	}
	for name, rate := range map[string]float64{"drop_rate": settings.DropRate, "duplicate_rate": settings.DuplicateRate} {
		if rate < 0 || rate > 1 {
			return nil, invalid(name, "", "%s must be between 0 and 1.", name)
		}
	}
	s.settings = settings
	return settings, nil
}

type withholdBody struct {
	PaymentIntent string `json:"payment_intent"`
	Drop          bool   `json:"drop"` // of a release: never send them
}

func (s *Server) controlWithhold(r *request) (any, *apiError) {
	var body withholdBody
	if e := r.read(&body); e != nil {
		return nil, e
	}
	if body.PaymentIntent != "" {
		s.deliverer.withhold(body.PaymentIntent)
		return s.deliverer.idle(), nil
	}
	s.mu.Lock()
	s.settings.Withhold = true
	s.mu.Unlock()
	return s.deliverer.idle(), nil
}

func (s *Server) controlRelease(r *request) (any, *apiError) {
	var body withholdBody
	if e := r.read(&body); e != nil {
		return nil, e
	}
	s.mu.Lock()
	if body.PaymentIntent == "" {
		s.settings.Withhold = false
	}
	settings := s.settings
	s.mu.Unlock()
	return map[string]int{"released": s.deliverer.release(body.PaymentIntent, body.Drop, settings)}, nil
}

// controlResend sends an event once more to every endpoint that was owed it, as the dashboard can.
func (s *Server) controlResend(r *request) (any, *apiError) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.store.entries[r.http.PathValue("id")]
	if e == nil || e.obj.kind() != kindEvent {
		return nil, missing(kindEvent, r.http.PathValue("id"), "id")
	}
	ev, _ := e.obj.(*Event)
	r.events = append(r.events, ev)
	return ev, nil
}

func (s *Server) controlIdle(r *request) (any, *apiError) {
	return s.deliverer.idle(r.http.URL.Query()["payment_intent"]...), nil
}

func (s *Server) controlRequests(*request) (any, *apiError) { return s.log.all(), nil }

func (s *Server) controlClearRequests(*request) (any, *apiError) {
	s.log.clear()
	s.deliverer.log.clear()
	return []requestLine{}, nil
}

func (s *Server) controlDeliveries(*request) (any, *apiError) { return s.deliverer.log.all(), nil }

// controlEvents lists all events of all accounts, newest last, as they were made; ?payment_intent= and ?type= narrow it.
func (s *Server) controlEvents(r *request) (any, *apiError) {
	query := r.http.URL.Query()
	s.mu.Lock()
	defer s.mu.Unlock()
	events := []*Event{}
	for _, e := range s.store.lists[listKey(r.account, kindEvent)] {
		ev, _ := e.obj.(*Event)
		if intent := query.Get("payment_intent"); intent != "" && ev.intent != intent {
			continue
		}
		if wanted := query.Get("type"); wanted != "" && !matchesType(ev.Type, []string{wanted}) {
			continue
		}
		events = append(events, ev)
	}
	return events, nil
}

// controlObjects lists all objects of a kind over all accounts, oldest first, as they read now: ?kind=payment_intent.
func (s *Server) controlObjects(r *request) (any, *apiError) {
	type owned struct {
		Account string `json:"account"`
		Object  object `json:"object"`
	}
	kind := r.http.URL.Query().Get("kind")
	s.mu.Lock()
	defer s.mu.Unlock()
	var entries []*entry
	for _, list := range s.store.lists {
		if len(list) > 0 && list[0].obj.kind() == kind {
			entries = append(entries, list...)
		}
	}
	slices.SortFunc(entries, func(a, b *entry) int { return cmp.Compare(a.born, b.born) })
	out := make([]owned, 0, len(entries))
	for _, e := range entries {
		out = append(out, owned{Account: e.account, Object: s.present(e.obj)})
	}
	return out, nil
}

// controlLoad takes an object as it is, creating or replacing it: what the replay of scenarios loads before it posts its events.
// No webhook is sent. ?account= names the connected account that owns it, which is created if it is new.
func (s *Server) controlLoad(r *request) (any, *apiError) {
	var raw json.RawMessage
	if e := r.read(&raw); e != nil {
		return nil, e
	}
	obj, err := decodeObject(raw)
	if err != nil {
		return nil, invalid("", "", "%v", err)
	}
	if obj.objectID() != r.http.PathValue("id") {
		return nil, invalid("id", "", "The object calls itself %s, the path %s.", obj.objectID(), r.http.PathValue("id"))
	}
	if obj.kind() == kindCapability {
		return raw, nil // its id is no name of its own: every account has a "card_payments"
	}
	_, e := s.change(r, func(c *change) (object, *apiError) {
		if obj.kind() == kindAccount {
			c = c.on("") // an account is the platform's to see, also where its own events show it
		}
		if e := c.entries[obj.objectID()]; e != nil && (e.account != c.account || e.obj.kind() != obj.kind()) {
			return nil, invalid("id", "", "%s exists as a %s of another account.", obj.objectID(), e.obj.kind())
		}
		c.load(obj, raw)
		return obj, nil
	})
	return raw, e
}

// load stores a foreign object and what it only names by id, so that expanding it works.
func (c *change) load(obj object, raw json.RawMessage) {
	c.ensureAccount()
	c.save(obj)
	c.entries[obj.objectID()].verbatim = raw
	switch o := obj.(type) {
	case *Charge:
		c.loadMovement(o.BalanceTransaction.id, movement{
			kind: "charge", category: "charge", source: o.ID, currency: o.Currency, amount: o.AmountCaptured, description: o.Description,
			fees: []feeDetail{{Amount: c.s.settings.fee(o.AmountCaptured), Currency: o.Currency, Description: "Stripe processing fees", Type: "stripe_fee"}},
		})
	case *Refund:
		c.loadMovement(o.BalanceTransaction.id, movement{kind: "refund", category: "refund", source: o.ID, currency: o.Currency, amount: -o.Amount})
		if o.FailureBalanceTransaction.id != "" {
			c.loadMovement(o.FailureBalanceTransaction.id, movement{kind: "refund_failure", category: "refund_failure", source: o.ID, currency: o.Currency, amount: o.Amount})
		}
	case *Payout:
		c.loadMovement(o.BalanceTransaction.id, movement{kind: "payout", category: "payout", source: o.ID, currency: o.Currency, amount: -o.Amount, immediate: true})
		c.loadMovement(o.FailureBalanceTransaction.id, movement{kind: "payout_failure", category: "payout_reversal", source: o.ID, currency: o.Currency, amount: o.Amount, immediate: true})
	case *Transfer:
		c.loadMovement(o.BalanceTransaction.id, movement{kind: "transfer", category: "transfer", source: o.ID, currency: o.Currency, amount: -o.Amount})
	case *ApplicationFee:
		c.loadMovement(o.BalanceTransaction.id, movement{kind: "application_fee", category: "platform_earning", source: o.ID, currency: o.Currency, amount: o.Amount})
	case *FeeRefund:
		c.loadMovement(o.BalanceTransaction.id, movement{
			kind: "application_fee_refund", category: "platform_earning_refund", source: o.ID, currency: o.Currency, amount: -o.Amount,
		})
	case *Dispute:
		for _, t := range o.BalanceTransactions {
			if t.ID != "" {
				c.save(t)
			}
		}
	}
}

// loadMovement makes the balance transaction that a loaded object names, unless it is known.
func (c *change) loadMovement(id string, m movement) {
	if id == "" || c.entries[id] != nil {
		return
	}
	c.moveAs(id, m)
}
