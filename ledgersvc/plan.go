package ledgersvc

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"time"

	ledgerv1 "github.com/dayof/dayof/gen/dayof/ledger/v1"
	"github.com/dayof/dayof/internal/chassis/idem"
	"github.com/dayof/dayof/ledgersvc/journal"
)

// fingerprintVersion is raised when the fields of a fingerprint change.
const fingerprintVersion = 1

// move sends an amount to an account out of the first source that has it, the next one taking over where it ends.
type move struct {
	from []account
	// lacking, where it is set, is the last source. It is no part of the fingerprint: entries that were posted before a move had
	// it stay the same entries.
	lacking account
	to      account
	amount  int64  // minor units
	asset   string // where it is another than the entry's, else empty
}

// send is a move from one account.
func send(from, to account, amount int64) move {
	return move{from: []account{from}, to: to, amount: amount}
}

// giveBack is a move from an account that finance draws from: what it lacks comes from another one.
func giveBack(from, lacking, to account, amount int64) move {
	return move{from: []account{from}, lacking: lacking, to: to, amount: amount}
}

// sources are all accounts that the amount may come from, in their order.
func (m move) sources() []account {
	if m.lacking.address == "" {
		return m.from
	}
	return append(slices.Clip(m.from), m.lacking)
}

// assetOr is the asset that is moved.
func (m move) assetOr(entry string) string {
	if m.asset != "" {
		return m.asset
	}
	return entry
}

// plan is an entry as it should be posted. It is made only of what is frozen before the first attempt.
type plan struct {
	reference     string
	kind          ledgerv1.EntryKind
	facts         journal.Facts
	effectiveTime time.Time
	asset         string
	moves         []move
	notes         map[string]string // further metadata
}

// newPlan returns a plan without the moves that move nothing. Times are kept to the microsecond, as the ledger does.
func newPlan(kind ledgerv1.EntryKind, reference string, at time.Time, asset string, f journal.Facts, moves ...move) plan {
	p := plan{reference: reference, kind: kind, facts: f, effectiveTime: at.UTC().Truncate(time.Microsecond), asset: asset}
	for _, m := range moves {
		if m.amount != 0 {
			p.moves = append(p.moves, m)
		}
	}
	return p
}

// fingerprint says whether two plans are the same entry. It is kept in the metadata of the ledger's transaction, since
// postings alone do not say it: how a move is divided between its sources is decided by balances.
func (p plan) fingerprint() []byte {
	parts := []any{
		p.reference, p.kind, p.facts.OrderID, p.facts.OrganizerID, p.facts.PaymentIntentID, p.facts.StripeAccount,
		p.facts.DisputeID, p.effectiveTime, p.asset, int64(len(p.moves)),
	}
	for _, m := range p.moves {
		from := make([]string, len(m.from))
		for i, a := range m.from {
			from[i] = a.address
		}
		parts = append(parts, from, m.to.address, m.amount)
		if m.asset != "" {
			parts = append(parts, m.asset)
		}
	}
	for _, name := range sortedKeys(p.notes) {
		parts = append(parts, name, p.notes[name])
	}
	return idem.Fingerprint(fingerprintVersion, parts...)
}

// metadata returns what the ledger keeps beside the postings.
func (p plan) metadata() map[string]string {
	m := map[string]string{journal.MetaKind: journal.KindName(p.kind), journal.MetaFingerprint: hex.EncodeToString(p.fingerprint())}
	for name, value := range map[string]string{
		journal.MetaOrder: p.facts.OrderID, journal.MetaOrganizer: p.facts.OrganizerID, journal.MetaPaymentIntent: p.facts.PaymentIntentID,
		journal.MetaStripeAccount: p.facts.StripeAccount, journal.MetaDispute: p.facts.DisputeID,
	} {
		if value != "" {
			m[name] = value
		}
	}
	maps.Copy(m, p.notes)
	return m
}

// holds says whether e is what p asks for: the same request, and postings that do what its moves say.
func (p plan) holds(e journal.Entry) error {
	if e.Kind != p.kind {
		return fmt.Errorf("it is a %q", journal.KindName(e.Kind))
	}
	if !bytes.Equal(e.Fingerprint, p.fingerprint()) {
		return fmt.Errorf("its fingerprint is %x", e.Fingerprint)
	}
	return p.matches(e.Postings)
}

// matches checks that postings are the moves of p, in order, each divided between its sources in their order.
func (p plan) matches(postings []journal.Posting) error {
	rest := postings
	for i, m := range p.moves {
		missing := m.amount
		from := m.sources()
		for missing > 0 {
			if len(rest) == 0 {
				return fmt.Errorf("move %d lacks %d of %d", i+1, missing, m.amount)
			}
			next := rest[0]
			for len(from) > 0 && from[0].address != next.Source {
				from = from[1:]
			}
			if len(from) == 0 || next.Destination != m.to.address || next.Asset != m.assetOr(p.asset) || next.Amount > missing {
				return fmt.Errorf("move %d is answered with %s -> %s %d %s", i+1, next.Source, next.Destination, next.Amount, next.Asset)
			}
			missing -= next.Amount
			rest = rest[1:]
		}
	}
	if len(rest) > 0 {
		return fmt.Errorf("%d postings too many", len(rest))
	}
	return nil
}
