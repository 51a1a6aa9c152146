package journal

import (
	"encoding/hex"
	"fmt"

	"github.com/formancehq/formance-sdk-go/v3/pkg/models/shared"

	ledgerv1 "github.com/dayof/dayof/gen/dayof/ledger/v1"
)

// EntryFromTransaction reads an entry that we could have posted: one with a reference, and amounts that fit. Postings of
// nothing are left out.
func EntryFromTransaction(t shared.V2Transaction) (Entry, error) {
	if t.Reference == nil || t.ID == nil || !t.ID.IsInt64() {
		return Entry{}, fmt.Errorf("transaction %v has no reference or no number of ours", t.ID)
	}
	for _, p := range t.Postings {
		if p.Amount == nil || !p.Amount.IsInt64() {
			return Entry{}, fmt.Errorf("transaction %v moves %v, which is no amount of ours", t.ID, p.Amount)
		}
	}
	return AnyEntryFromTransaction(t), nil
}

// AnyEntryFromTransaction reads a transaction whoever made it. One without a reference is named by its number; postings that are
// beyond what we could have posted are left out, and then the kind, too.
func AnyEntryFromTransaction(t shared.V2Transaction) Entry {
	e := Entry{EffectiveTime: t.Timestamp.UTC(), PostTime: t.Timestamp.UTC(), Fingerprint: []byte{}}
	if t.ID != nil && t.ID.IsInt64() {
		e.TransactionID = t.ID.Int64()
	}
	e.Reference = fmt.Sprintf("transaction:%d", e.TransactionID)
	if t.Reference != nil && *t.Reference != "" {
		e.Reference = *t.Reference
		e.Kind = KindOf(t.Metadata[MetaKind])
	}
	e.Facts = Facts{
		OrderID: t.Metadata[MetaOrder], OrganizerID: t.Metadata[MetaOrganizer], PaymentIntentID: t.Metadata[MetaPaymentIntent],
		StripeAccount: t.Metadata[MetaStripeAccount], DisputeID: t.Metadata[MetaDispute],
	}
	if t.InsertedAt != nil {
		e.PostTime = t.InsertedAt.UTC()
	}
	if fingerprint, err := hex.DecodeString(t.Metadata[MetaFingerprint]); err == nil {
		e.Fingerprint = fingerprint
	}
	for _, p := range t.Postings {
		switch {
		case p.Amount == nil || !p.Amount.IsInt64():
			e.Kind = ledgerv1.EntryKind_ENTRY_KIND_UNSPECIFIED
		case p.Amount.Sign() != 0:
			e.Postings = append(e.Postings, Posting{Source: p.Source, Destination: p.Destination, Asset: p.Asset, Amount: p.Amount.Int64()})
		}
	}
	return e
}
