package stripe

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
)

// journal is a file of JSON lines that keeps the state across restarts. A line holds all that one request changed together
// with its idempotent answer, so that both survive a kill or neither; it is written before the request is answered.
// Lines may be in any order: the newest sequence number of an object wins.
type journal struct {
	mu   sync.Mutex
	file *os.File
}

type journalLine struct {
	Changes  []record           `json:"changes,omitempty"`
	Key      *idempotencyRecord `json:"key,omitempty"`
	Delivery *deliveryRecord    `json:"delivery,omitempty"`
}

// record is one snapshot of one object.
type record struct {
	Account  string            `json:"account,omitempty"`
	Born     int64             `json:"born"`
	Seq      int64             `json:"seq"`
	Object   any               `json:"object"`
	Linked   string            `json:"linked,omitempty"`
	Revoked  bool              `json:"revoked,omitempty"`
	Verbatim json.RawMessage   `json:"verbatim,omitempty"`
	Owed     map[string]string `json:"owed,omitempty"` // of an event: endpoints and outcomes
}

type deliveryRecord struct {
	Event    string `json:"event"`
	Endpoint string `json:"endpoint"`
	Outcome  string `json:"outcome"`
}

// snapshot copies what entries hold now. The server's mutex is held.
func snapshot(entries []*entry) []record {
	records := make([]record, 0, len(entries))
	for _, e := range entries {
		rec := record{Account: e.account, Born: e.born, Seq: e.seq, Object: e.obj, Linked: e.linked, Revoked: e.revoked, Verbatim: e.verbatim}
		if ev, ok := e.obj.(*Event); ok {
			rec.Owed = ev.delivery.all()
		}
		records = append(records, rec)
	}
	return records
}

func (j *journal) append(line journalLine) error {
	b, err := json.Marshal(line)
	if err != nil {
		return fmt.Errorf("encode journal line: %w", err)
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if _, err := j.file.Write(append(b, '\n')); err != nil {
		return fmt.Errorf("write journal: %w", err)
	}
	return nil
}

func (j *journal) close() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.file.Close()
}

// openJournal reads the journal if there is one, writes it anew without what later lines replaced, and goes on from there.
func (s *Server) openJournal(path string) error {
	if err := s.readJournal(path); err != nil {
		return err
	}
	fresh := path + ".new"
	file, err := os.OpenFile(fresh, os.O_CREATE|os.O_WRONLY|os.O_TRUNC|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("open journal: %w", err)
	}
	s.journal = &journal{file: file}
	if err := s.writeAll(); err != nil {
		return errors.Join(err, file.Close())
	}
	if err := os.Rename(fresh, path); err != nil {
		return errors.Join(fmt.Errorf("replace journal: %w", err), file.Close())
	}
	s.deliverer.enqueue(s.resume())
	return nil
}

func (s *Server) readJournal(path string) error {
	file, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("open journal: %w", err)
	}
	defer file.Close()
	lines := bufio.NewReaderSize(file, bodyMax)
	var outcomes []deliveryRecord
	for n := 1; ; n++ {
		line, err := lines.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			break // a line without its end was torn by a crash: its request was never answered
		}
		if err != nil {
			return fmt.Errorf("read journal: %w", err)
		}
		outcome, err := s.readLine(bytes.TrimSpace(line))
		if err != nil {
			return fmt.Errorf("journal line %d: %w", n, err)
		}
		if outcome != nil {
			outcomes = append(outcomes, *outcome)
		}
	}
	for _, o := range outcomes {
		if e := s.store.entries[o.Event]; e != nil {
			if ev, ok := e.obj.(*Event); ok {
				ev.delivery.set(o.Endpoint, o.Outcome)
			}
		}
	}
	s.store.sortLists()
	return nil
}

func (s *Server) readLine(line []byte) (*deliveryRecord, error) {
	var body struct {
		Changes []struct {
			record
			Object json.RawMessage `json:"object"`
		} `json:"changes"`
		Key      *idempotencyRecord `json:"key"`
		Delivery *deliveryRecord    `json:"delivery"`
	}
	if err := json.Unmarshal(line, &body); err != nil {
		return nil, err
	}
	for _, rec := range body.Changes {
		obj, err := decodeObject(rec.Object)
		if err != nil {
			return nil, err
		}
		if ev, ok := obj.(*Event); ok {
			ev.delivery = &deliveryState{open: rec.Owed}
			if rec.Owed == nil {
				ev.delivery.open = map[string]string{}
			}
		}
		s.store.restore(rec.record, obj)
	}
	if body.Key != nil {
		s.idem.restore(body.Key)
	}
	return body.Delivery, nil
}

// restore takes a record back unless a newer one of the same object is known.
func (st *store) restore(rec record, obj object) {
	st.seq = max(st.seq, rec.Seq)
	e := st.entries[obj.objectID()]
	if e == nil {
		e = &entry{account: rec.Account, born: rec.Born}
		st.insert(e, obj)
	}
	if rec.Seq >= e.seq {
		e.obj, e.seq, e.verbatim, e.revoked = obj, rec.Seq, rec.Verbatim, rec.Revoked
	}
	if rec.Linked != "" {
		st.link(obj.objectID(), rec.Linked)
	}
}

// writeAll writes the whole state, one object or key a line.
func (s *Server) writeAll() error {
	for _, e := range s.store.entries {
		if err := s.journal.append(journalLine{Changes: snapshot([]*entry{e})}); err != nil {
			return err
		}
	}
	for _, slot := range s.idem.slots {
		if err := s.journal.append(journalLine{Key: slot.record(slot.answer)}); err != nil {
			return err
		}
	}
	return nil
}

// resume finds the events that are still owed to somebody and charges whose late fee did not come yet.
func (s *Server) resume() []*Event {
	var events []*Event
	for _, list := range s.store.lists {
		for _, e := range list {
			switch obj := e.obj.(type) {
			case *Event:
				for _, outcome := range obj.delivery.all() {
					if outcome == deliveryOwed || outcome == deliveryRetrying {
						events = append(events, obj)
						break
					}
				}
			case *Charge:
				if obj.Captured && obj.Status == chargeSucceeded && obj.BalanceTransaction.id == "" && e.verbatim == nil {
					s.deliverer.later(s.settings.AsyncFeesDelayMS, func() { s.bookLate(obj.ID) })
				}
			}
		}
	}
	return events
}
