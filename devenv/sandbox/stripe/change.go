package stripe

import "time"

// change is one atomic change of the state: everything it puts and every event it emits becomes visible at once.
// It lives inside Server.change, with the server's mutex held.
type change struct {
	*store
	s       *Server
	request *request
	now     time.Time
	account string // the account on which the objects live
}

// change runs f with the state locked. f checks first and puts last: after a refusal nothing may have been put, except
// where Stripe itself keeps a failed attempt, such as a declined charge.
func (s *Server) change(r *request, f func(c *change) (object, *apiError)) (any, *apiError) {
	s.mu.Lock()
	defer s.mu.Unlock()
	obj, e := f(&change{store: s.store, s: s, request: r, now: s.clock.Now(), account: r.account})
	if e != nil {
		return nil, e
	}
	return obj, nil
}

// save stores the newest snapshot of an object of the change's account.
func (c *change) save(objs ...object) {
	for _, obj := range objs {
		e := c.put(c.account, obj)
		if e.born == e.seq {
			e.made = c.now
		}
		c.request.changes = append(c.request.changes, e)
	}
}

// link makes a balance transaction part of an automatic payout.
func (c *change) link(id, payout string) {
	c.store.link(id, payout)
	c.request.changes = append(c.request.changes, c.entries[id])
}

// on returns the same change acting on another account.
func (c *change) on(account string) *change {
	other := *c
	other.account = account
	return &other
}

// emit makes a webhook event about the snapshot of an object. previous holds the former values of changed fields.
func (c *change) emit(eventType string, obj object, previous map[string]any) {
	ev := &Event{
		ID: c.newID("evt_"), Created: c.now.Unix(), Account: c.account, Type: eventType,
		Object: obj, Previous: previous, intent: intentOf(obj),
	}
	if r := c.request; r.http != nil && r.params != nil {
		ev.Request.ID = new(r.id)
		if r.key != "" {
			ev.Request.IdempotencyKey = new(r.key)
		}
	}
	ev.delivery = c.s.deliverer.owed(ev)
	ev.PendingWebhooks = len(ev.delivery.open)
	c.save(ev)
	c.request.events = append(c.request.events, ev)
}

// unix is the time of the change in seconds, as the API prints it.
func (c *change) unix() int64 { return c.now.Unix() }

// newID makes an id that no object has yet.
func (c *change) newID(prefix string) string {
	for {
		id := prefix + "3" + c.s.randomText(23)
		if _, taken := c.entries[id]; !taken {
			return id
		}
	}
}
