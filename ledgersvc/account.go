package ledgersvc

import (
	"fmt"
	"hash/fnv"
	"regexp"
	"strings"
)

// shards is how many accounts stand for one that every sale touches: a hot account is a row lock that serialises all
// postings through it. The number is part of what is posted, so it never changes.
const shards = 16

// account is a bucket of the chart.
//
//	stripe:platform:main:{shard}            - money that we hold at Stripe
//	stripe:connect:{account}                - money inside a connected account
//	bank:platform:{bank account}            - money at our bank
//	orders:{order}:payment                  0 transit of a sale; a bare receipt waits here for its refund
//	orders:{order}:refunds:{refund}         0 transit of a refund
//	orders:{order}:disputes:{dispute}       - withdrawn for a dispute that is not decided
//	organizers:{org}:payable                + owed, held on the platform's balance
//	organizers:{org}:receivable             - advanced by the platform
//	organizers:{org}:connect                + owed, held in the connected account
//	organizers:{org}:connect:receivable     - what the connected account gave out beyond that
//	organizers:{org}:payouts:{payout}       + payout in transit
//	taxes:{country}:{kind}                  + collected, to remit
//	taxes:{country}:{kind}:receivable       - given back after it was remitted, to reclaim
//	platform:revenue:application_fees:{shard} + income
//	platform:costs:{kind}                   - costs; application_fees: fees given back after the revenue was withdrawn; exchange: losses by rates less gains
//	fx:stripe:{balance transaction}         any: the two legs of a conversion
//
// Money that we hold is negative, what we owe or earned is positive. Nothing is posted against "world": it would be a
// row that all postings wait for, and it says nothing.
type account struct {
	// role names the account in scripts, such as "clearing".
	role string
	// address is the account's name at the ledger.
	address string
	// debit marks an account whose balance is zero or below by its nature: only such accounts may be overdrawn.
	debit bool
}

// shard returns the shard of a Stripe id, so that all postings of one payment intent meet the same clearing account.
func shard(stripeID string) string {
	h := fnv.New32a()
	_, _ = h.Write([]byte(stripeID)) // a hash never fails
	return fmt.Sprintf("%02d", h.Sum32()%shards)
}

func platformClearing(stripeID string) account {
	return account{role: "clearing", address: "stripe:platform:main:" + shard(stripeID), debit: true}
}

func connectClearing(stripeAccount string) account {
	return account{role: "clearing", address: "stripe:connect:" + stripeAccount, debit: true}
}

func platformBank(bankAccountID string) account {
	if bankAccountID == "" {
		bankAccountID = "unknown"
	}
	return account{role: "bank", address: "bank:platform:" + bankAccountID, debit: true}
}

func orderPayment(orderID string) account {
	return account{role: "payment", address: "orders:" + orderID + ":payment"}
}

func orderRefund(orderID, refundID string) account {
	return account{role: "refund", address: "orders:" + orderID + ":refunds:" + refundID}
}

func orderDispute(orderID, disputeID string) account {
	return account{role: "dispute", address: "orders:" + orderID + ":disputes:" + disputeID, debit: true}
}

func organizerPayable(organizerID string) account {
	return account{role: "payable", address: "organizers:" + organizerID + ":payable"}
}

func organizerReceivable(organizerID string) account {
	return account{role: "receivable", address: "organizers:" + organizerID + ":receivable", debit: true}
}

func organizerConnect(organizerID string) account {
	return account{role: "connect", address: "organizers:" + organizerID + ":connect"}
}

func connectReceivable(organizerID string) account {
	return account{role: "connect_receivable", address: "organizers:" + organizerID + ":connect:receivable", debit: true}
}

func organizerPayout(organizerID, payoutID string) account {
	return account{role: "payout", address: "organizers:" + organizerID + ":payouts:" + payoutID}
}

func taxes(country, kind string) account {
	return account{role: "tax", address: "taxes:" + strings.ToLower(country) + ":" + kind}
}

// taxReceivable is what a tax lacks that goes back after it was remitted.
func taxReceivable(country, kind string) account {
	return account{role: "tax_receivable", address: taxes(country, kind).address + ":receivable", debit: true}
}

func revenue(stripeID string) account {
	return account{role: "revenue", address: "platform:revenue:application_fees:" + shard(stripeID)}
}

func cost(kind string) account {
	return account{role: "cost", address: "platform:costs:" + kind, debit: true}
}

// The kinds of costs.
const (
	costStripeFees    = "stripe_fees"
	costDisputeFees   = "dispute_fees"
	costFeesReturned  = "application_fees"
	costDisputeLosses = "dispute_losses"
	costExchange      = "exchange"
)

// place is where the money of a payment lies: the platform's Stripe balance, or a connected account for a direct
// charge.
type place struct {
	clearing account
	// owner is what the organiser is owed of the money on the clearing account; shortfall takes over where that is not enough.
	owner, shortfall account
	// direct says that the clearing account is a connected account.
	direct bool
}

// placeOf returns the place of the money of stripeID (a payment intent, else what is nearest to it).
func placeOf(stripeAccount, organizerID, stripeID string) place {
	if stripeAccount != "" {
		return place{
			clearing:  connectClearing(stripeAccount),
			owner:     organizerConnect(organizerID),
			shortfall: connectReceivable(organizerID),
			direct:    true,
		}
	}
	return place{
		clearing:  platformClearing(stripeID),
		owner:     organizerPayable(organizerID),
		shortfall: organizerReceivable(organizerID),
	}
}

// organizer is the organiser as a source: what is owed first, then an advance.
func (p place) organizer() []account { return []account{p.owner, p.shortfall} }

// chart recognises accounts by their addresses; the first pattern that fits counts.
var chart = []struct {
	pattern *regexp.Regexp
	role    string
	debit   bool
}{
	{regexp.MustCompile(`^stripe:`), "clearing", true},
	{regexp.MustCompile(`^bank:`), "bank", true},
	{regexp.MustCompile(`^fx:`), "exchange", true},
	{regexp.MustCompile(`^platform:costs:`), "cost", true},
	{regexp.MustCompile(`^platform:revenue:`), "revenue", false},
	{regexp.MustCompile(`^taxes:[^:]+:.+:receivable$`), "tax_receivable", true},
	{regexp.MustCompile(`^taxes:`), "tax", false},
	{regexp.MustCompile(`^orders:[^:]+:payment$`), "payment", false},
	{regexp.MustCompile(`^orders:[^:]+:refunds:`), "refund", false},
	{regexp.MustCompile(`^orders:[^:]+:disputes:`), "dispute", true},
	{regexp.MustCompile(`^organizers:[^:]+:payable$`), "payable", false},
	{regexp.MustCompile(`^organizers:[^:]+:receivable$`), "receivable", true},
	{regexp.MustCompile(`^organizers:[^:]+:connect$`), "connect", false},
	{regexp.MustCompile(`^organizers:[^:]+:connect:receivable$`), "connect_receivable", true},
	{regexp.MustCompile(`^organizers:[^:]+:payouts:`), "payout", false},
}

// accountAt returns the account of an address that the ledger answered with, for entries that mirror others.
func accountAt(address string) account {
	for _, c := range chart {
		if c.pattern.MatchString(address) {
			return account{role: c.role, address: address, debit: c.debit}
		}
	}
	return account{role: "account", address: address}
}
