package ledgersvc

import (
	"strconv"

	"google.golang.org/protobuf/types/known/timestamppb"

	ledgerv1 "github.com/dayof/dayof/gen/dayof/ledger/v1"
	"github.com/dayof/dayof/ledgersvc/journal"
)

func entryToProto(e journal.Entry) *ledgerv1.Entry {
	out := &ledgerv1.Entry{
		Reference:     e.Reference,
		Kind:          e.Kind,
		OrderId:       e.Facts.OrderID,
		EffectiveTime: timestamppb.New(e.EffectiveTime),
		PostTime:      timestamppb.New(e.PostTime),
	}
	if e.TransactionID != 0 {
		out.LedgerTransactionId = strconv.FormatInt(e.TransactionID, 10)
	}
	for _, p := range e.Postings {
		out.Postings = append(out.Postings, postingToProto(p, e.Reference))
	}
	return out
}

func postingToProto(p journal.Posting, reference string) *ledgerv1.Posting {
	return &ledgerv1.Posting{
		Source: p.Source, Destination: p.Destination, Asset: p.Asset, Amount: strconv.FormatInt(p.Amount, 10), Reference: reference,
	}
}

func entriesToProto(entries []journal.Entry) []*ledgerv1.Entry {
	out := make([]*ledgerv1.Entry, len(entries))
	for i, e := range entries {
		out[i] = entryToProto(e)
	}
	return out
}
