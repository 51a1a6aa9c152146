package stripe

import (
	"net/http"
	"sync"
	"time"
)

const (
	idempotencyKeyMax = 255
	// idempotencyKeyLife: Stripe replays for at least 24 hours, then the key is new.
	idempotencyKeyLife = 24 * time.Hour
)

// idempotencyKeys remembers the first result of every key, per account.
//
// The first status and body are stored once execution starts, failures included, and replayed for 24 hours. The same
// key with other parameters is 400 idempotency_error, while the first call runs 409 idempotency_key_in_use. A request
// that was refused before it began to execute stores nothing.
type idempotencyKeys struct {
	mu    sync.Mutex
	slots map[string]*keySlot
}

// keySlot is one key of one account.
type keySlot struct {
	id      string
	path    string
	form    string // parameters, sorted and encoded
	created time.Time
	done    bool
	answer  answer
}

// idempotencyRecord is a finished slot in the journal.
type idempotencyRecord struct {
	ID        string    `json:"id"`
	Path      string    `json:"path"`
	Form      string    `json:"form"`
	Created   time.Time `json:"created"`
	Status    int       `json:"status"`
	Body      string    `json:"body"`
	RequestID string    `json:"request_id"`
}

func newIdempotencyKeys() *idempotencyKeys { return &idempotencyKeys{slots: make(map[string]*keySlot)} }

// begin claims the key for this request, or returns the stored answer, or the refusal.
func (k *idempotencyKeys) begin(r *request, now time.Time) (*keySlot, *answer, *apiError) {
	slot := &keySlot{id: r.account + "/" + r.key, path: r.http.URL.Path, form: r.form.Encode(), created: now}
	k.mu.Lock()
	defer k.mu.Unlock()
	first := k.slots[slot.id]
	switch {
	case first == nil || (first.done && now.Sub(first.created) > idempotencyKeyLife):
		k.slots[slot.id] = slot
		return slot, nil, nil
	case first.path != slot.path:
		return nil, nil, keyMisused("Keys for idempotent requests can only be used for the same endpoint they were first used for ('%s' vs '%s'). "+
			"Try using a key other than '%s' if you meant to execute a different request.", slot.path, first.path, r.key)
	case first.form != slot.form:
		return nil, nil, keyMisused("Keys for idempotent requests can only be used with the same parameters they were first used with. "+
			"Try using a key other than '%s' if you meant to execute a different request.", r.key)
	case !first.done:
		e := invalid("", "idempotency_key_in_use", "There is currently another in-progress request using this Idempotent Key "+
			"(that probably means you submitted twice, and the other request is still going through): %s. Try again later.", r.key)
		e.status = http.StatusConflict
		return nil, nil, e
	}
	stored := first.answer
	return nil, &stored, nil
}

func keyMisused(format string, args ...any) *apiError {
	e := invalid("", "", format, args...)
	e.Type = typeIdempotency
	return e
}

// finish stores the answer: from now on the key replays it.
func (k *idempotencyKeys) finish(slot *keySlot, a answer) {
	k.mu.Lock()
	defer k.mu.Unlock()
	slot.answer, slot.done = a, true
}

// abandon frees the key of a request that was not executed.
func (k *idempotencyKeys) abandon(slot *keySlot) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.slots[slot.id] == slot {
		delete(k.slots, slot.id)
	}
}

func (slot *keySlot) record(a answer) *idempotencyRecord {
	return &idempotencyRecord{
		ID: slot.id, Path: slot.path, Form: slot.form, Created: slot.created,
		Status: a.status, Body: string(a.body), RequestID: a.requestID,
	}
}

// restore puts a journaled key back.
func (k *idempotencyKeys) restore(rec *idempotencyRecord) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.slots[rec.ID] = &keySlot{
		id: rec.ID, path: rec.Path, form: rec.Form, created: rec.Created, done: true,
		answer: answer{status: rec.Status, body: []byte(rec.Body), requestID: rec.RequestID},
	}
}
