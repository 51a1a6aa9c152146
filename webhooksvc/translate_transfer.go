package webhooksvc

import (
	ledgerv1 "github.com/dayof/dayof/gen/dayof/ledger/v1"
)

// transfer is what we read of Stripe's Transfer.
type transfer struct {
	ID             string                 `json:"id"`
	Amount         int64                  `json:"amount"`
	AmountReversed int64                  `json:"amount_reversed"`
	Created        seconds                `json:"created"`
	Currency       text                   `json:"currency"`
	Destination    reference              `json:"destination"`
	Metadata       metadata               `json:"metadata"`
	Reversals      list[transferReversal] `json:"reversals"`
}

// transferReversal is what we read of Stripe's TransferReversal.
type transferReversal struct {
	ID       string  `json:"id"`
	Amount   int64   `json:"amount"`
	Created  seconds `json:"created"`
	Currency text    `json:"currency"`
}

func transferHandlers() []handler {
	const action = "RecordTransfer for the organiser of the destination, then RecordTransferReversal for each reversal in the body; "
	return []handler{
		{
			"transfer.created", "Money moved from the platform to a connected account.",
			action + "each is posted once.", "transfer", translateTransfer,
		},
		{
			"transfer.updated", "A transfer changed: a part reversed, or its description.",
			action + "each is posted once.", "transfer, reversal", translateTransfer,
		},
		{
			"transfer.reversed", "Money of a transfer moved back. The amount in the transfer is cumulative.",
			action + "each is posted once.", "transfer, reversal", translateTransfer,
		},
	}
}

// translateTransfer records the transfer with every event about it, so that a reversal never has to wait for it.
func translateTransfer(e event) (translation, error) {
	t, err := decodeObject[transfer](e)
	if err != nil {
		return translation{}, err
	}
	if e.account != "" {
		return foreign(e)
	}
	if t.Destination == "" {
		return refused(refusalNoAccount)
	}
	request := &ledgerv1.RecordTransferRequest{
		TransferId:    t.ID,
		StripeAccount: string(t.Destination),
		Amount:        money(t.Amount, t.Currency),
		TransferTime:  t.Created.timestamp(),
	}
	result := translation{calls: []call{{
		suffix: "transfer", request: request, prepare: organizerOf(string(t.Destination), &request.OrganizerId),
	}}}
	var listed int64
	for _, reversal := range t.Reversals.items {
		listed += reversal.Amount
		result.calls = append(result.calls, call{
			suffix: reversal.ID,
			request: &ledgerv1.RecordTransferReversalRequest{
				TransferReversalId: reversal.ID,
				TransferId:         t.ID,
				Amount:             money(reversal.Amount, reversal.Currency),
				ReverseTime:        reversal.Created.timestamp(),
			},
		})
	}
	result.calls = append(result.calls, claims(string(t.Destination), t.ID, t.Metadata)...)
	if t.Reversals.more || listed < t.AmountReversed {
		result.alert = "transfer has reversals that its event does not list; book them by hand"
	}
	return result, nil
}
