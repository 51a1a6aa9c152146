package client

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	checkoutv1 "github.com/dayof/dayof/gen/dayof/checkout/v1"
	ledgerv1 "github.com/dayof/dayof/gen/dayof/ledger/v1"
	passv1 "github.com/dayof/dayof/gen/dayof/pass/v1"
)

// Sale is what a sale leaves in a buyer's hands.
type Sale struct {
	OrderID         string   `json:"order_id"`
	PaymentState    string   `json:"payment_state"`
	FulfilmentState string   `json:"fulfilment_state"`
	Tickets         []Ticket `json:"tickets"`
}

// Ticket is a ticket with the pass that shows it.
type Ticket struct {
	ID                  string `json:"id"`
	State               string `json:"state"`
	Code                string `json:"code"`
	PassSerial          string `json:"pass_serial"`
	AuthenticationToken string `json:"authentication_token"`
	DownloadURL         string `json:"download_url"`
	Seat                string `json:"seat,omitempty"` // section, row and label
	// ReplacesTicketID is the ticket in whose place it is, and VoidReason why it is void; empty where it is not.
	ReplacesTicketID string `json:"replaces_ticket_id"`
	VoidReason       string `json:"void_reason"`
}

// Order is a sale with all that the services know of it: `dayof order show`, and order.json of the demo.
type Order struct {
	Sale
	EventID   string `json:"event_id"`
	HoldState string `json:"hold_state"`
	// WaitsFor says what the order waits for, with the latest failure; empty when it waits for nothing.
	WaitsFor string     `json:"waits_for,omitempty"`
	Buyer    Buyer      `json:"buyer"`
	Lines    []Line     `json:"lines"`
	Payment  Payment    `json:"payment"`
	Passes   []Pass     `json:"passes"`
	Postings []Posting  `json:"postings"`
	Timeline []Timeline `json:"timeline"`
}

// Buyer is who ordered.
type Buyer struct {
	Name     string `json:"name"`
	Email    string `json:"email"`
	Language string `json:"language,omitempty"`
}

// Line is a quantity of one variant version.
type Line struct {
	VariantID           string `json:"variant_id"`
	VariantVersion      int32  `json:"variant_version"`
	ProductName         string `json:"product_name"`
	VariantName         string `json:"variant_name"`
	Quantity            int32  `json:"quantity"`
	UnitPriceMinorUnits int64  `json:"unit_price_minor_units"`
}

// Payment is the money of an order, in minor units of its currency.
type Payment struct {
	Currency           string    `json:"currency"`
	TotalMinorUnits    int64     `json:"total_minor_units"`
	CapturedMinorUnits int64     `json:"captured_minor_units"`
	RefundedMinorUnits int64     `json:"refunded_minor_units"`
	PayingIntentID     string    `json:"paying_intent_id"`
	PaymentIntents     []Intent  `json:"payment_intents"`
	Refunds            []Refund  `json:"refunds"`
	Disputes           []Dispute `json:"disputes"`
}

// Intent is a payment intent of an order.
type Intent struct {
	ID                 string `json:"id"`
	Status             string `json:"status"`
	AmountMinorUnits   int64  `json:"amount_minor_units"`
	CapturedMinorUnits int64  `json:"captured_minor_units"`
	Duplicate          bool   `json:"duplicate_payment"`
	ChargeID           string `json:"charge_id,omitempty"`
	FailureCode        string `json:"failure_code,omitempty"`
}

// Refund is money on its way back.
type Refund struct {
	ID               string   `json:"id"`
	StripeRefundID   string   `json:"stripe_refund_id"`
	PaymentIntentID  string   `json:"payment_intent_id"`
	AmountMinorUnits int64    `json:"amount_minor_units"`
	State            string   `json:"state"`
	Reason           string   `json:"reason"`
	TicketIDs        []string `json:"ticket_ids"`
}

// Dispute is a buyer's bank taking money back.
type Dispute struct {
	ID               string `json:"id"`
	Status           string `json:"status"`
	AmountMinorUnits int64  `json:"amount_minor_units"`
	FeeMinorUnits    int64  `json:"fee_minor_units"`
}

// Pass is the wallet artefact of a ticket.
type Pass struct {
	Serial              string `json:"serial"`
	TicketID            string `json:"ticket_id"`
	Revision            int64  `json:"revision"`
	ETag                string `json:"etag"`
	ModifyTime          string `json:"modify_time"`
	Voided              bool   `json:"voided"`
	AuthenticationToken string `json:"authentication_token"`
	DownloadURL         string `json:"download_url"`
}

// Posting moves an amount, in minor units of the asset, from one account to another.
type Posting struct {
	Source      string      `json:"source"`
	Destination string      `json:"destination"`
	Asset       string      `json:"asset"`
	Amount      json.Number `json:"amount"`
	Reference   string      `json:"reference"`
}

// Timeline is one step of an order's life.
type Timeline struct {
	Time    string `json:"time"`
	Service string `json:"service"`
	Step    string `json:"step"`
	Attempt int32  `json:"attempt"`
	TookMS  int64  `json:"took_ms"`
	Error   string `json:"error,omitempty"`
	Detail  string `json:"detail,omitempty"`
	Actor   string `json:"actor,omitempty"` // who asked for it
}

// Statement is ledger.json of the demo: the books, and their trial balance, which must be zero per asset.
type Statement struct {
	Postings     []Posting              `json:"postings"`
	TrialBalance map[string]json.Number `json:"trial_balance"`
}

// Order joins what checkoutsvc, passsvc and ledgersvc know of an order.
func (c *Client) Order(ctx context.Context, orderID string) (Order, error) {
	details, err := c.Orders.GetOrderDetails(ctx, &checkoutv1.GetOrderDetailsRequest{OrderId: orderID})
	if err != nil {
		return Order{}, err
	}
	passes, err := c.Passes.ListPasses(ctx, &passv1.ListPassesRequest{OrderId: orderID})
	if err != nil {
		return Order{}, err
	}
	statement, err := c.Statements.GetOrderStatement(ctx, &ledgerv1.GetOrderStatementRequest{OrderId: orderID})
	if err != nil {
		return Order{}, err
	}
	return newOrder(details, passes.GetPasses(), statement.GetEntries()), nil
}

// Statement reads all entries of the books and the trial balance at the ledger.
func (c *Client) Statement(ctx context.Context) (Statement, error) {
	out := Statement{Postings: []Posting{}, TrialBalance: map[string]json.Number{}}
	request := &ledgerv1.ListEntriesRequest{PageSize: 500}
	for {
		page, err := c.Statements.ListEntries(ctx, request)
		if err != nil {
			return out, err
		}
		for _, entry := range page.GetEntries() {
			out.Postings = append(out.Postings, postings(entry)...)
		}
		if page.GetNextPageToken() == "" {
			break
		}
		request.PageToken = page.GetNextPageToken()
	}
	trial, err := c.Statements.GetTrialBalance(ctx, &ledgerv1.GetTrialBalanceRequest{})
	if err != nil {
		return out, err
	}
	for asset, balance := range trial.GetBalances() {
		out.TrialBalance[asset] = json.Number(balance)
	}
	return out, nil
}

func newOrder(details *checkoutv1.GetOrderDetailsResponse, passes []*passv1.Pass, entries []*ledgerv1.Entry) Order {
	o := details.GetOrder()
	out := Order{
		Sale:      newSale(o, passes),
		EventID:   o.GetEventId(),
		HoldState: Word(o.GetHoldState()),
		Buyer: Buyer{
			Name: details.GetBuyer().GetName(), Email: details.GetBuyer().GetEmail(), Language: details.GetBuyer().GetLanguage(),
		},
		Lines: []Line{}, Payment: newPayment(o), Passes: []Pass{}, Postings: []Posting{}, Timeline: []Timeline{},
	}
	if out.WaitsFor = WaitsFor(o); out.WaitsFor != "" && o.GetFulfilmentState() != checkoutv1.FulfilmentState_FULFILMENT_STATE_COMPLETED {
		if failure := lastFailure(details.GetTimeline()); failure != "" {
			out.WaitsFor += "; the last attempt failed: " + failure
		}
	}
	for _, l := range o.GetLines() {
		out.Lines = append(out.Lines, Line{
			VariantID: l.GetVariantId(), VariantVersion: l.GetVariantVersion(), ProductName: l.GetProductName(),
			VariantName: l.GetVariantName(), Quantity: l.GetQuantity(), UnitPriceMinorUnits: l.GetUnitPrice().GetMinorUnits(),
		})
	}
	for _, p := range passes {
		out.Passes = append(out.Passes, Pass{
			Serial: p.GetSerial(), TicketID: p.GetTicketId(), Revision: p.GetRevision(), ETag: p.GetEtag(),
			ModifyTime: instant(p.GetModifyTime()), Voided: p.GetVoided(),
			AuthenticationToken: p.GetAuthenticationToken(), DownloadURL: p.GetDownloadUrl(),
		})
	}
	for _, e := range entries {
		out.Postings = append(out.Postings, postings(e)...)
	}
	for _, t := range details.GetTimeline() {
		out.Timeline = append(out.Timeline, Timeline{
			Time: instant(t.GetTime()), Service: t.GetService(), Step: t.GetStep(), Attempt: t.GetAttempt(),
			TookMS: t.GetTookMs(), Error: t.GetError(), Detail: t.GetDetail(), Actor: t.GetActor(),
		})
	}
	return out
}

func newSale(o *checkoutv1.Order, passes []*passv1.Pass) Sale {
	byTicket := make(map[string]*passv1.Pass, len(passes))
	for _, p := range passes {
		byTicket[p.GetTicketId()] = p
	}
	out := Sale{
		OrderID: o.GetId(), PaymentState: Word(o.GetPaymentState()), FulfilmentState: Word(o.GetFulfilmentState()),
		Tickets: []Ticket{},
	}
	for _, t := range o.GetTickets() {
		p := byTicket[t.GetId()]
		out.Tickets = append(out.Tickets, Ticket{
			ID: t.GetId(), State: Word(t.GetState()), Code: t.GetCode(), PassSerial: t.GetPassSerial(),
			AuthenticationToken: p.GetAuthenticationToken(), DownloadURL: p.GetDownloadUrl(), Seat: seatOf(t),
			ReplacesTicketID: t.GetReplacesTicketId(), VoidReason: voidReason(t),
		})
	}
	return out
}

// seatOf names the seat of a ticket; empty for general admission.
func seatOf(t *checkoutv1.TicketInstance) string {
	if t.GetSeat() == nil {
		return ""
	}
	return t.GetSeat().GetSection() + ", " + t.GetSeat().GetRow() + ", " + t.GetSeat().GetLabel()
}

func voidReason(t *checkoutv1.TicketInstance) string {
	if t.GetVoidReason() == checkoutv1.TicketVoidReason_TICKET_VOID_REASON_UNSPECIFIED {
		return ""
	}
	return Word(t.GetVoidReason())
}

func newPayment(o *checkoutv1.Order) Payment {
	out := Payment{
		Currency: o.GetTotal().GetCurrency(), TotalMinorUnits: o.GetTotal().GetMinorUnits(),
		CapturedMinorUnits: o.GetCapturedMinorUnits(), RefundedMinorUnits: o.GetRefundedMinorUnits(),
		PayingIntentID: o.GetPayingIntentId(),
		PaymentIntents: []Intent{}, Refunds: []Refund{}, Disputes: []Dispute{},
	}
	for _, i := range o.GetPaymentIntents() {
		out.PaymentIntents = append(out.PaymentIntents, Intent{
			ID: i.GetId(), Status: Word(i.GetStatus()), AmountMinorUnits: i.GetAmount().GetMinorUnits(),
			CapturedMinorUnits: i.GetCapturedMinorUnits(), Duplicate: i.GetDuplicate(), ChargeID: i.GetChargeId(),
			FailureCode: i.GetFailureCode(),
		})
	}
	for _, r := range o.GetRefunds() {
		out.Refunds = append(out.Refunds, Refund{
			ID: r.GetId(), StripeRefundID: r.GetStripeRefundId(), PaymentIntentID: r.GetPaymentIntentId(),
			AmountMinorUnits: r.GetAmount().GetMinorUnits(), State: Word(r.GetState()), Reason: Word(r.GetReason()),
			TicketIDs: append([]string{}, r.GetTicketIds()...),
		})
	}
	for _, d := range o.GetDisputes() {
		out.Disputes = append(out.Disputes, Dispute{
			ID: d.GetId(), Status: Word(d.GetStatus()), AmountMinorUnits: d.GetAmount().GetMinorUnits(),
			FeeMinorUnits: d.GetFeeMinorUnits(),
		})
	}
	return out
}

func postings(e *ledgerv1.Entry) []Posting {
	var out []Posting
	for _, p := range e.GetPostings() {
		out = append(out, Posting{
			Source: p.GetSource(), Destination: p.GetDestination(), Asset: p.GetAsset(),
			Amount: json.Number(p.GetAmount()), Reference: e.GetReference(),
		})
	}
	return out
}

// words are the prefixes that enum values of the contract carry and that people need not read.
var words = []string{
	"PAYMENT_INTENT_STATUS_", "PAYMENT_STATE_", "FULFILMENT_STATE_", "HOLD_STATE_", "TICKET_STATE_", "REFUND_STATE_",
	"REFUND_REASON_", "DISPUTE_STATUS_", "WEBHOOK_EVENT_STATE_", "ENTRY_KIND_", "ADMISSION_",
	"DIFFERENCE_KIND_", "EVENT_PUBLICATION_", "VARIANT_STATE_", "EVENT_OPERATION_KIND_", "EVENT_OPERATION_STATE_", "SEAT_STATE_",
	"TRANSFER_STATE_", "TICKET_VOID_REASON_",
}

// Word is an enum value as scripts and people read it: "paid" for PAYMENT_STATE_PAID.
func Word(value fmt.Stringer) string {
	name := value.String()
	for _, prefix := range words {
		if rest, ok := strings.CutPrefix(name, prefix); ok {
			return strings.ToLower(rest)
		}
	}
	return strings.ToLower(name)
}

// instant writes a time as RFC 3339 in UTC; "" when it is absent.
func instant(t *timestamppb.Timestamp) string {
	if t == nil {
		return ""
	}
	return t.AsTime().Format(time.RFC3339Nano)
}
