package stripe

import (
	"encoding/json"
	"sort"
	"time"
)

// entry is where an object lives: its owner, its place in the order of creation and its newest snapshot.
type entry struct {
	account  string // owning account; "" is the platform's own
	born     int64  // sequence number of the creation: lists run newest first
	seq      int64  // sequence number of the newest change
	obj      object
	made     time.Time       // zero for what was loaded or read from a journal
	linked   string          // of a balance transaction: the automatic payout it is part of
	revoked  bool            // of an account: it has disconnected from the platform
	verbatim json.RawMessage // as loaded through the control API, shown until the first change
}

// store holds every object in memory. The server's mutex guards it; nothing is encoded while it is held.
type store struct {
	seq      int64
	entries  map[string]*entry
	lists    map[string][]*entry // by account and kind, oldest first
	children map[string][]string // by parent and kind, oldest first: refunds of a charge, charges of an intent...
}

func newStore() *store {
	return &store{
		entries:  make(map[string]*entry),
		lists:    make(map[string][]*entry),
		children: make(map[string][]string),
	}
}

func listKey(account, kind string) string { return account + "/" + kind }

func childKey(parent, kind string) string { return parent + "/" + kind }

// put stores the newest snapshot of an object and returns its entry. The account counts only for a new object.
func (st *store) put(account string, obj object) *entry {
	st.seq++
	id := obj.objectID()
	e := st.entries[id]
	if e == nil {
		e = &entry{account: account, born: st.seq}
		st.insert(e, obj)
	}
	e.obj, e.seq, e.verbatim = obj, st.seq, nil
	return e
}

// link makes a balance transaction part of an automatic payout.
func (st *store) link(id, payout string) {
	e := st.entries[id]
	if e == nil || e.linked != "" {
		return
	}
	st.seq++
	e.linked, e.seq = payout, st.seq
	key := childKey(payoutItems(payout), e.obj.kind())
	st.children[key] = append(st.children[key], id)
}

// payoutItems is the parent of what an automatic payout consists of. The payout itself is the parent of the transactions it
// is the source of, such as that of its failure.
func payoutItems(payout string) string { return payout + "/items" }

// insert makes a new entry reachable by id, by list and by its parents.
func (st *store) insert(e *entry, obj object) {
	st.entries[obj.objectID()] = e
	key := listKey(e.account, obj.kind())
	st.lists[key] = append(st.lists[key], e)
	for _, parent := range parentsOf(obj) {
		key := childKey(parent, obj.kind())
		st.children[key] = append(st.children[key], obj.objectID())
	}
}

// sortLists restores the order of creation after a journal was read.
func (st *store) sortLists() {
	for _, list := range st.lists {
		sort.Slice(list, func(i, j int) bool { return list[i].born < list[j].born })
	}
	for _, ids := range st.children {
		sort.Slice(ids, func(i, j int) bool { return st.entries[ids[i]].born < st.entries[ids[j]].born })
	}
}

// parentsOf names the objects under which a new object is found again.
func parentsOf(obj object) []string {
	var parents []string
	add := func(ids ...string) {
		for _, id := range ids {
			if id != "" {
				parents = append(parents, id)
			}
		}
	}
	switch o := obj.(type) {
	case *Charge:
		add(o.PaymentIntent.id)
	case *Refund:
		add(o.Charge.id, o.PaymentIntent.id)
	case *BalanceTransaction:
		add(o.Source.id)
	case *Dispute:
		add(o.Charge.id, o.PaymentIntent.id)
	case *Transfer:
		add(o.SourceTransaction.id)
	case *TransferReversal:
		add(o.Transfer.id)
	}
	return parents
}

// find returns the newest snapshot of an object of the account, or false.
func find[T object](st *store, account, id string) (T, bool) {
	var none T
	e := st.entries[id]
	if e == nil || e.account != account {
		return none, false
	}
	obj, ok := e.obj.(T)
	return obj, ok
}

// childrenOf returns the newest snapshots of the children of a kind, oldest first.
func childrenOf[T object](st *store, parent, kind string) []T {
	ids := st.children[childKey(parent, kind)]
	found := make([]T, 0, len(ids))
	for _, id := range ids {
		if obj, ok := st.entries[id].obj.(T); ok {
			found = append(found, obj)
		}
	}
	return found
}
