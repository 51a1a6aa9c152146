package journal

import (
	"time"

	ledgerv1 "github.com/dayof/dayof/gen/dayof/ledger/v1"
)

// Entry is a posted entry: what the ledger holds under a reference.
type Entry struct {
	TransactionID int64
	Reference     string
	Kind          ledgerv1.EntryKind
	Facts         Facts
	Fingerprint   []byte
	EffectiveTime time.Time
	PostTime      time.Time
	Postings      []Posting
}

// Posting is one line of an entry.
type Posting struct {
	Source, Destination, Asset string
	Amount                     int64 // minor units, above zero
}

// Facts name what an entry is about. They travel as metadata of the ledger's transaction, so that a copy can be made
// from the ledger alone. Empty where there is none.
type Facts struct {
	OrderID, OrganizerID, PaymentIntentID, StripeAccount, DisputeID string
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

// KindName is the word for a kind; empty for none.
func KindName(kind ledgerv1.EntryKind) string { return kindNames[kind] }

// KindOf is the kind of a word; unspecified for a word that is not ours.
func KindOf(name string) ledgerv1.EntryKind {
	for kind, n := range kindNames {
		if n == name {
			return kind
		}
	}
	return ledgerv1.EntryKind_ENTRY_KIND_UNSPECIFIED
}

// The names of metadata at the ledger.
const (
	MetaKind          = "kind"
	MetaOrder         = "order_id"
	MetaOrganizer     = "organizer_id"
	MetaPaymentIntent = "payment_intent_id"
	MetaStripeAccount = "stripe_account"
	MetaDispute       = "dispute_id"
	MetaFingerprint   = "fingerprint"
	MetaTaxes         = "taxes"    // of a direct charge: the organiser's own, noted but not booked
	MetaReverses      = "reverses" // reference of the entry that this one undoes
)
