package ledgersvc

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"maps"
	"time"

	ledgerv1 "github.com/dayof/dayof/gen/dayof/ledger/v1"
	"github.com/dayof/dayof/internal/chassis/idem"
)

// fingerprintVersion is raised when the fields of a fingerprint change.
const fingerprintVersion = 1

// move sends an amount to an account out of the first source that has it, the next one taking over where it ends.
type move struct {
	from   []account
	to     account
	amount int64  // minor units
	asset  string // where it is another than the entry's, else empty
}

// send is a move from one account.
func send(from, to account, amount int64) move {
	return move{from: []account{from}, to: to, amount: amount}
}

// assetOr is the asset that is moved.
func (m move) assetOr(entry string) string {
	if m.asset != "" {
		return m.asset
	}
	return entry
}

// facts name what an entry is about. They travel as metadata of the ledger's transaction, so that a copy can be made
// from the ledger alone. Empty where there is none.
type facts struct {
	orderID, organizerID, paymentIntentID, stripeAccount, disputeID string
}

// plan is an entry as it should be posted. It is made only of what is frozen before the first attempt.
type plan struct {
	reference     string
	kind          ledgerv1.EntryKind
	facts         facts
	effectiveTime time.Time
	asset         string
	moves         []move
	notes         map[string]string // further metadata
}

// newPlan returns a plan without the moves that move nothing. Times are kept to the microsecond, as the ledger does.
func newPlan(kind ledgerv1.EntryKind, reference string, at time.Time, asset string, f facts, moves ...move) plan {
	p := plan{reference: reference, kind: kind, facts: f, effectiveTime: at.UTC().Truncate(time.Microsecond), asset: asset}
	for _, m := range moves {
		if m.amount != 0 {
			p.moves = append(p.moves, m)
		}
	}
	return p
}

// fingerprint tells whether two plans are the same entry. It is kept in the metadata of the ledger's transaction, since
// postings alone do not tell: how a move is divided between its sources is decided by balances.
func (p plan) fingerprint() []byte {
	parts := []any{
		p.reference, p.kind, p.facts.orderID, p.facts.organizerID, p.facts.paymentIntentID, p.facts.stripeAccount,
		p.facts.disputeID, p.effectiveTime, p.asset, int64(len(p.moves)),
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

// The names of metadata at the ledger.
const (
	metaKind          = "kind"
	metaOrder         = "order_id"
	metaOrganizer     = "organizer_id"
	metaPaymentIntent = "payment_intent_id"
	metaStripeAccount = "stripe_account"
	metaDispute       = "dispute_id"
	metaFingerprint   = "fingerprint"
	metaTaxes         = "taxes"    // of a direct charge: the organiser's own, told but not booked
	metaReverses      = "reverses" // reference of the entry that this one undoes
)

// metadata returns what the ledger keeps beside the postings.
func (p plan) metadata() map[string]string {
	m := map[string]string{metaKind: kindNames[p.kind], metaFingerprint: hex.EncodeToString(p.fingerprint())}
	for name, value := range map[string]string{
		metaOrder: p.facts.orderID, metaOrganizer: p.facts.organizerID, metaPaymentIntent: p.facts.paymentIntentID,
		metaStripeAccount: p.facts.stripeAccount, metaDispute: p.facts.disputeID,
	} {
		if value != "" {
			m[name] = value
		}
	}
	maps.Copy(m, p.notes)
	return m
}

// kindNames are the words for kinds at the ledger and in our tables. They never change.
var kindNames = map[ledgerv1.EntryKind]string{
	ledgerv1.EntryKind_ENTRY_KIND_SALE:                   "sale",
	ledgerv1.EntryKind_ENTRY_KIND_RECEIPT:                "receipt",
	ledgerv1.EntryKind_ENTRY_KIND_STRIPE_FEE:             "stripe_fee",
	ledgerv1.EntryKind_ENTRY_KIND_REFUND:                 "refund",
	ledgerv1.EntryKind_ENTRY_KIND_REFUND_FAILURE:         "refund_failure",
	ledgerv1.EntryKind_ENTRY_KIND_DISPUTE_WITHDRAWAL:     "dispute_withdrawal",
	ledgerv1.EntryKind_ENTRY_KIND_DISPUTE_REINSTATEMENT:  "dispute_reinstatement",
	ledgerv1.EntryKind_ENTRY_KIND_DISPUTE_LOSS:           "dispute_loss",
	ledgerv1.EntryKind_ENTRY_KIND_PAYOUT:                 "payout",
	ledgerv1.EntryKind_ENTRY_KIND_PAYOUT_FAILURE:         "payout_failure",
	ledgerv1.EntryKind_ENTRY_KIND_TRANSFER:               "transfer",
	ledgerv1.EntryKind_ENTRY_KIND_TRANSFER_REVERSAL:      "transfer_reversal",
	ledgerv1.EntryKind_ENTRY_KIND_PAYOUT_CREATED:         "payout_created",
	ledgerv1.EntryKind_ENTRY_KIND_APPLICATION_FEE:        "application_fee",
	ledgerv1.EntryKind_ENTRY_KIND_APPLICATION_FEE_REFUND: "application_fee_refund",
	ledgerv1.EntryKind_ENTRY_KIND_RECOVERY:               "recovery",
	ledgerv1.EntryKind_ENTRY_KIND_CONVERSION:             "conversion",
}

// kindOf is the way back; unspecified for a word that is not ours.
func kindOf(name string) ledgerv1.EntryKind {
	for kind, n := range kindNames {
		if n == name {
			return kind
		}
	}
	return ledgerv1.EntryKind_ENTRY_KIND_UNSPECIFIED
}

// entry is a posted entry: what the ledger holds under a reference.
type entry struct {
	transactionID int64
	reference     string
	kind          ledgerv1.EntryKind
	facts         facts
	fingerprint   []byte
	effectiveTime time.Time
	postTime      time.Time
	postings      []posting
}

// posting is one line of an entry.
type posting struct {
	source, destination, asset string
	amount                     int64 // minor units, above zero
}

// holds says whether e is what p asks for: the same request, and postings that do what its moves say.
func (p plan) holds(e entry) error {
	if e.kind != p.kind {
		return fmt.Errorf("it is a %q", kindNames[e.kind])
	}
	if !bytes.Equal(e.fingerprint, p.fingerprint()) {
		return fmt.Errorf("its fingerprint is %x", e.fingerprint)
	}
	return p.matches(e.postings)
}

// matches checks that postings are the moves of p, in order, each divided between its sources in their order.
func (p plan) matches(postings []posting) error {
	rest := postings
	for i, m := range p.moves {
		missing := m.amount
		from := m.from
		for missing > 0 {
			if len(rest) == 0 {
				return fmt.Errorf("move %d lacks %d of %d", i+1, missing, m.amount)
			}
			next := rest[0]
			for len(from) > 0 && from[0].address != next.source {
				from = from[1:]
			}
			if len(from) == 0 || next.destination != m.to.address || next.asset != m.assetOr(p.asset) || next.amount > missing {
				return fmt.Errorf("move %d is answered with %s -> %s %d %s", i+1, next.source, next.destination, next.amount, next.asset)
			}
			missing -= next.amount
			rest = rest[1:]
		}
	}
	if len(rest) > 0 {
		return fmt.Errorf("%d postings too many", len(rest))
	}
	return nil
}
