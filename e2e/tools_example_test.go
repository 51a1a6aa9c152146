//go:build tools

package e2e

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/fieldmaskpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/dayof/dayof/devenv/client"
	"github.com/dayof/dayof/devenv/cluster"
	"github.com/dayof/dayof/devenv/idle"
	"github.com/dayof/dayof/e2e/e2etest"
	checkoutv1 "github.com/dayof/dayof/gen/dayof/checkout/v1"
)

// scene is what the requests of the examples are about.
type scene struct {
	file                            client.File
	event, product, variant, serial string
	sold                            client.Sale
	refundable, disputable          client.Order
	cart, other, part, free         client.Cart // free of a variant that costs nothing
	item, batch, webhookEvent       string
	client                          *client.Client
	run, difference                 string
	draft, organizer, promotion     string
	canceled, returned              client.Cart
	returnedTicket                  string // of returned, whose event lets buyers give tickets back
	device, enrolment, place        string
	seated, seat                    string
	moving, confirmation, operation string // of an event that cannot be moved before the examples end
	handover                        handover
}

// first is the first element of a list in an answer.
func first(answer map[string]any, list string) map[string]any {
	items, _ := answer[list].([]any)
	if len(items) == 0 {
		return nil
	}
	item, _ := items[0].(map[string]any)
	return item
}

// example is one good request of an RPC, with what the scene has filled in.
type example struct {
	method  string
	request func(s *scene) string
	token   func(s *scene) string // bearer token; nil: the operator's
	learn   func(s *scene, answer map[string]any)
	stream  bool       // it answers with a stream, of which the first message counts
	varies  [][]string // where the answer may differ from call to call: it shows a state as it is at each
}

func ask(method, format string, args ...func(s *scene) any) example {
	return example{method: method, request: func(s *scene) string {
		var values []any
		for _, a := range args {
			values = append(values, a(s))
		}
		return fmt.Sprintf(format, values...)
	}}
}

func (e example) by(token func(s *scene) string) example {
	e.token = token
	return e
}

func (e example) learning(learn func(s *scene, answer map[string]any)) example {
	e.learn = learn
	return e
}

func (e example) streaming() example {
	e.stream = true
	return e
}

func (e example) varying(path ...string) example {
	e.varies = append(e.varies, path)
	return e
}

// find returns the text at a path inside an answer.
func find(answer map[string]any, path ...string) string {
	text, _ := inside(answer, path[:len(path)-1]...)[path[len(path)-1]].(string)
	return text
}

// inside returns the object at a path inside an answer; nil when there is none.
func inside(answer map[string]any, path ...string) map[string]any {
	for _, name := range path {
		answer, _ = answer[name].(map[string]any)
	}
	return answer
}

// examples has a good request for every RPC, in an order in which each finds what it needs.
func examples() []example {
	event := func(s *scene) any { return s.event }
	variant := func(s *scene) any { return s.variant }
	serial := func(s *scene) any { return s.serial }
	operation := func(s *scene) any { return s.operation }
	moving := func(s *scene) any { return s.moving }
	order := func(s *scene) any { return s.sold.OrderID }
	buyer := func(s *scene) string { return s.cart.AccessToken }
	returning := func(s *scene) string { return s.returned.AccessToken }
	const checkout, pass, ledger, webhook = "dayof.checkout.v1.", "dayof.pass.v1.", "dayof.ledger.v1.", "dayof.webhook.v1."
	const capture = `{"order_id":"toolsOrder0000000001","organizer_id":"toolsOrganizer000001","payment_intent_id":"pi_%s",
		"gross":{"currency":"EUR","minor_units":"4450"},"capture_time":"2026-01-02T03:04:05Z"}`
	return []example{
		ask(checkout+"CatalogService/CreateOrganizer", `{"name":"Tools and sons"}`).
			learning(func(s *scene, a map[string]any) { s.organizer = find(a, "organizer", "id") }),
		ask(checkout+"CatalogService/UpdateOrganizer", `{"organizer_id":%q,"name":"Tools & sons","update_number":"1"}`, func(s *scene) any { return s.organizer }),
		ask(checkout+"CatalogService/GetOrganizer", `{"organizer_id":%q}`, func(s *scene) any { return s.organizer }),
		ask(checkout+"CatalogService/ListOrganizers", `{"page_size":3}`),
		ask(checkout+"CatalogService/CreateEvent", `{"organizer_id":"toolsOrganizer000001","organizer_name":"Tools","name":"Tools live",
			"venue":{"name":"Hall","time_zone":"Europe/Berlin"},"start_time":"2027-01-02T19:00:00Z","end_time":"2027-01-02T22:00:00Z",
			"draft":true}`).
			learning(func(s *scene, a map[string]any) { s.draft = find(a, "event", "id") }),
		ask(checkout+"CatalogService/UpdateEvent", `{"event_id":%q,"event":{"name":"Tools live again"},"update_mask":"name"}`, event),
		ask(checkout+"CatalogService/ArchiveEvent", `{"event_id":%q}`, event),
		ask(checkout+"CatalogService/PublishEvent", `{"event_id":%q}`, event),
		ask(checkout+"CatalogService/DeleteDraft", `{"event_id":%q}`, func(s *scene) any { return s.draft }),
		ask(checkout+"CatalogService/GetEvent", `{"event_id":%q}`, event),
		ask(checkout+"CatalogService/ListEvents", `{"page_size":10}`),
		ask(checkout+"CatalogService/CreateProduct", `{"event_id":%q,"name":"Standing"}`, event).
			learning(func(s *scene, a map[string]any) { s.product = find(a, "product", "id") }),
		ask(checkout+"CatalogService/UpdateProduct", `{"product_id":%q,"name":"Standing room"}`, func(s *scene) any { return s.product }),
		ask(checkout+"CatalogService/GetProduct", `{"product_id":%q}`, func(s *scene) any { return s.product }),
		ask(checkout+"CatalogService/ListProducts", `{"event_id":%q}`, event),
		ask(checkout+"CatalogService/CreateVariant", `{"product_id":%q,"name":"Balcony","seated":true,
			"version":{"price":{"currency":"EUR","minor_units":"4450"}}}`, func(s *scene) any { return s.product }).
			learning(func(s *scene, a map[string]any) { s.seated = find(a, "variant", "id") }),
		ask(checkout+"CatalogService/CreateVariantVersion", `{"variant_id":%q,"version":{"price":{"currency":"EUR","minor_units":"4950"}}}`, variant),
		ask(checkout+"CatalogService/UpdateVariant", `{"variant_id":%q,"variant":{"name":"Floor, left"},"update_mask":"name"}`, variant),
		ask(checkout+"CatalogService/CreatePromotionCode", `{"event_id":%q,"code":"TOOLS-10","discount":{"basis_points":1000},"variant_ids":[%q],"order_limit":10}`, event, variant).
			learning(func(s *scene, a map[string]any) { s.promotion = find(a, "promotionCode", "id") }),
		ask(checkout+"CatalogService/UpdatePromotionCode", `{"promotion_code_id":%q,"promotion_code":{"order_limit":20},"update_mask":"orderLimit"}`,
			func(s *scene) any { return s.promotion }),
		ask(checkout+"CatalogService/ListPromotionCodes", `{"event_id":%q}`, event),
		ask(checkout+"CatalogService/ArchivePromotionCode", `{"promotion_code_id":%q}`, func(s *scene) any { return s.promotion }),
		ask(checkout+"CatalogService/GetVariant", `{"variant_id":%q}`, variant),
		ask(checkout+"CatalogService/ListVariants", `{"event_id":%q}`, event),

		ask(checkout+"CatalogService/SetSeatMap", `{"event_id":%q,"section":"Left","rows":[{"label":"F","seats":[{"label":"1","variant_id":%q},
			{"label":"2","variant_id":%q}]}]}`, event, func(s *scene) any { return s.seated }, func(s *scene) any { return s.seated }),
		ask(checkout+"CatalogService/GetSeatMap", `{"event_id":%q}`, event),
		ask(checkout+"CatalogService/ListSeats", `{"event_id":%q,"section":"Left"}`, event).
			learning(func(s *scene, a map[string]any) { s.seat = find(first(a, "seats"), "seat", "id") }),
		ask(checkout+"CatalogService/BlockSeats", `{"event_id":%q,"seat_ids":[%q]}`, event, func(s *scene) any { return s.seat }),
		ask(checkout+"CatalogService/UnblockSeats", `{"event_id":%q,"seat_ids":[%q]}`, event, func(s *scene) any { return s.seat }),

		ask(checkout+"EventOperationService/MoveEvent", `{"event_id":%q,"start_time":"2030-01-02T19:00:00Z","confirmation_token":%q}`,
			moving, func(s *scene) any { return s.confirmation }).
			learning(func(s *scene, a map[string]any) { s.operation = find(a, "operation", "id") }),
		ask(checkout+"EventOperationService/GetEventOperation", `{"event_operation_id":%q}`, operation).varying("operation"),
		ask(checkout+"EventOperationService/ListEventOperations", `{"event_id":%q}`, moving).varying("operations"),
		ask(checkout+"EventOperationService/PauseEventOperation", `{"event_operation_id":%q}`, operation),
		ask(checkout+"EventOperationService/ResumeEventOperation", `{"event_operation_id":%q}`, operation),
		ask(checkout+"EventOperationService/CancelEventOperation", `{"event_operation_id":%q}`, operation),
		ask(checkout+"EventOperationService/CancelEvent", `{"event_id":%q,"preview":true}`, moving).varying("preview"),

		ask(checkout+"CheckoutService/StartCheckout", `{"event_id":%q,"lines":[{"variant_id":%q,"quantity":1}],
			"buyer":{"name":"Ada","email":"ada@example.test"}}`, event, variant).
			learning(func(s *scene, a map[string]any) {
				s.canceled = client.Cart{OrderID: find(a, "order", "id"), AccessToken: find(a, "orderAccessToken")}
			}),
		ask(checkout+"CheckoutService/CancelCheckout", `{"order_id":%q}`, func(s *scene) any { return s.canceled.OrderID }).
			by(func(s *scene) string { return s.canceled.AccessToken }).varying("order"),
		ask(checkout+"CheckoutService/ReleaseTickets", `{"order_id":%q,"note":"ill"}`, func(s *scene) any { return s.free.OrderID }).
			by(func(s *scene) string { return s.free.AccessToken }),
		ask(checkout+"CheckoutService/CompleteCheckout", `{"order_id":%q,"payment_intent_id":%q}`,
			func(s *scene) any { return s.cart.OrderID }, func(s *scene) any { return s.cart.IntentID }).by(buyer),
		ask(checkout+"CheckoutService/GetOrder", `{"order_id":%q}`, func(s *scene) any { return s.cart.OrderID }).by(buyer),
		ask(checkout+"CheckoutService/PreviewRefund", `{"order_id":%q,"ticket_ids":[%q]}`,
			func(s *scene) any { return s.returned.OrderID }, func(s *scene) any { return s.returnedTicket }).by(returning).varying("deadline"),
		ask(checkout+"CheckoutService/RefundTickets", `{"order_id":%q,"ticket_ids":[%q]}`,
			func(s *scene) any { return s.returned.OrderID }, func(s *scene) any { return s.returnedTicket }).by(returning),
		ask(checkout+"CheckoutService/WatchOrder", `{"order_id":%q}`, func(s *scene) any { return s.cart.OrderID }).by(buyer).streaming(),

		ask(checkout+"WaitingRoomService/SetWaitingRoom", `{"event_id":%q,"open_time":"2026-01-01T10:00:00Z","admissions_per_minute":600}`, moving),
		ask(checkout+"WaitingRoomService/GetWaitingRoom", `{"event_id":%q}`, moving).varying("room"),
		ask(checkout+"WaitingRoomService/JoinWaitingRoom", `{"event_id":%q}`, moving).varying("place").varying("placeToken").
			learning(func(s *scene, a map[string]any) { s.place = find(a, "placeToken") }),
		ask(checkout+"WaitingRoomService/GetWaitingRoomPlace", `{"place_token":%q}`, func(s *scene) any { return s.place }).varying("place"),

		ask(checkout+"AdmissionService/CheckTicket", `{"code":%q}`, func(s *scene) any { return s.sold.Tickets[0].Code }),
		ask(checkout+"AdmissionService/GetCodeKeys", `{}`),
		ask(checkout+"AdmissionService/SetDoorPolicy", `{"event_id":%q,"policy":{"reentry":"REENTRY_AFTER_EXIT"}}`, event),
		ask(checkout+"AdmissionService/GetDoorPolicy", `{"event_id":%q}`, event),
		ask(checkout+"AdmissionService/Admit", `{"code":%q,"gate":"north"}`, func(s *scene) any { return s.sold.Tickets[0].Code }),
		ask(checkout+"AdmissionService/ListAttendees", `{"event_id":%q,"page_size":3}`, event),
		ask(checkout+"AdmissionService/GetDoorCounters", `{"event_id":%q}`, event).varying("countTime"),
		ask(checkout+"AdmissionService/UndoAdmission", `{"code":%q}`, func(s *scene) any { return s.sold.Tickets[0].Code }),
		ask(checkout+"AdmissionService/GetOfflinePackage", `{"event_id":%q}`, event).varying("package").varying("signature").varying("nextSince"),
		ask(checkout+"AdmissionService/CreateDoorDevice", `{"event_id":%q,"gate":"north","name":"Scanner 1"}`, event).
			learning(func(s *scene, a map[string]any) {
				s.device, s.enrolment = find(a, "device", "id"), find(a, "enrolmentCode")
			}),
		ask(checkout+"AdmissionService/EnrolDoorDevice", `{"enrolment_code":%q}`, func(s *scene) any { return s.enrolment }),
		ask(checkout+"AdmissionService/UploadScans", `{"device_id":%q,"scans":[{"id":"toolsScan00000000001","code":%q,"scan_time":"2027-01-02T18:30:00Z"}]}`,
			func(s *scene) any { return s.device }, func(s *scene) any { return s.sold.Tickets[0].Code }),
		ask(checkout+"AdmissionService/ListScanConflicts", `{"event_id":%q}`, event),
		ask(checkout+"AdmissionService/ListDoorDevices", `{"event_id":%q}`, event),
		ask(checkout+"AdmissionService/RevokeDoorDevice", `{"device_id":%q}`, func(s *scene) any { return s.device }),

		ask(checkout+"OrderService/GetOrderDetails", `{"order_id":%q}`, order),
		ask(checkout+"OrderService/ListOrders", `{"page_size":3}`),
		ask(checkout+"OrderService/RetryOrder", `{"order_id":%q}`, order),
		ask(checkout+"OrderService/ResendReceipt", `{"order_id":%q}`, order),
		ask(checkout+"OrderService/CorrectBuyer", `{"order_id":%q,"buyer":{"name":"Ada Lovelace","email":"ada.l@example.test","language":"en"},"note":"she mistyped it","over_limit":true}`, order),
		ask(checkout+"OrderService/AcceptPayment", `{"order_id":%q,"payment_intent_id":%q,"note":"the rest is waived"}`,
			func(s *scene) any { return s.part.OrderID }, func(s *scene) any { return s.part.IntentID }).varying("order"),
		ask(checkout+"OrderService/ImportGuests", `{"event_id":%q,"variant_id":%q,"guests":[{"name":"Grace","email":"grace@example.test","quantity":2}],"note":"press"}`, event, variant),
		ask(checkout+"OrderService/RefundOrder", `{"order_id":%q,"amount":{"currency":"EUR","minor_units":"100"}}`, order),

		ask(checkout+"PaymentService/RecordPayment", `{"payment_intent_id":%q,"order_id":%q,"status":"PAYMENT_INTENT_STATUS_REQUIRES_ACTION",
			"amount":{"currency":"EUR","minor_units":"4450"},"observed_time":"2026-01-02T03:04:05Z"}`,
			func(s *scene) any { return s.other.IntentID }, func(s *scene) any { return s.other.OrderID }),
		ask(checkout+"PaymentService/RecordCharge", `{"charge_id":"ch_tools","payment_intent_id":%q,"order_id":%q,"failure_code":"card_declined",
			"amount":{"currency":"EUR","minor_units":"4450"},"observed_time":"2026-01-02T03:04:05Z"}`,
			func(s *scene) any { return s.other.IntentID }, func(s *scene) any { return s.other.OrderID }),
		ask(checkout+"PaymentService/RecordRefund", `{"stripe_refund_id":"re_tools","payment_intent_id":%q,"state":"REFUND_STATE_PENDING",
			"amount":{"currency":"EUR","minor_units":"100"},"refund_time":"2026-01-02T03:04:05Z"}`,
			func(s *scene) any { return s.refundable.Payment.PayingIntentID }),
		ask(checkout+"PaymentService/RecordDispute", `{"dispute_id":"du_tools","payment_intent_id":%q,"status":"DISPUTE_STATUS_NEEDS_RESPONSE",
			"amount":{"currency":"EUR","minor_units":"4450"},"observed_time":"2026-01-02T03:04:05Z"}`,
			func(s *scene) any { return s.disputable.Payment.PayingIntentID }),

		ask(checkout+"PaymentService/RecordFraudWarning", `{"fraud_warning_id":"issfr_tools","payment_intent_id":%q,"fraud_type":"card_never_received",
			"observed_time":"2026-01-02T03:04:05Z"}`, func(s *scene) any { return s.refundable.Payment.PayingIntentID }),
		ask(checkout+"PaymentService/RecordReview", `{"review_id":"prv_tools","payment_intent_id":%q,"closed_reason":"approved",
			"observed_time":"2026-01-02T03:04:05Z"}`, func(s *scene) any { return s.refundable.Payment.PayingIntentID }),
		ask(checkout+"PaymentService/RecordSessionEnd", `{"session_id":"cs_tools","order_id":%q,"observed_time":"2026-01-02T03:04:05Z"}`,
			func(s *scene) any { return s.other.OrderID }),
		ask(checkout+"AccountService/RecordAccount", `{"stripe_account":"acct_tools","organizer_id":"toolsOrganizer000002"}`).varying("account", "fetchTime"),
		ask(checkout+"AccountService/GetAccount", `{"stripe_account":"acct_tools"}`),
		ask(checkout+"AccountService/ListAccounts", `{"page_size":3}`),
		ask(checkout+"OperationsService/RaiseReviewCase", `{"kind":"tools","subject":"tools","suggested_action":"Look at it."}`),

		ask(checkout+"OperationsService/ListReviewCases", `{}`).learning(func(s *scene, a map[string]any) { s.item = find(first(a, "items"), "id") }),
		ask(checkout+"OperationsService/ResolveReviewCase", `{"review_case_id":%q,"note":"looked at"}`, func(s *scene) any { return s.item }),

		ask(pass+"PassService/IssuePasses", `{"order_id":"toolsOrder0000000001","passes":[{"ticket_id":"toolsTicket000000001",
			"ticket_change_number":"1","code":"DAYOF1.tools","organizer_name":"Tools","event":{"id":"toolsEvent0000000001","name":"Tools live",
			"venue_name":"Hall","time_zone":"Europe/Berlin","start_time":"2027-01-02T19:00:00Z","end_time":"2027-01-02T22:00:00Z"},
			"product_name":"Standing","variant_name":"Floor","price":{"currency":"EUR","minor_units":"4450"}}]}`),
		ask(pass+"PassService/GetPass", `{"pass_serial":%q}`, serial),
		ask(pass+"PassService/ListPasses", `{"order_id":%q}`, order),
		ask(pass+"PassService/UpdatePass", `{"pass_serial":%q,"fields":{"gate":"B"}}`, serial),
		ask(pass+"PassService/SetPassSuspended", `{"pass_serial":%q,"suspended":true,"ticket_change_number":7}`, serial),
		ask(pass+"PassService/ListPassRevisions", `{"pass_serial":%q}`, serial),
		ask(pass+"PassService/ListRegistrations", `{"pass_serial":%q}`, serial),
		ask(pass+"PassService/ListPushes", `{"pass_serial":%q}`, serial),
		ask(pass+"PassService/ListDeviceLogs", `{}`),
		ask(pass+"PassService/BatchUpdatePasses", `{"event_id":"toolsEvent0000000001","fields":{"gate":"C"}}`).
			learning(func(s *scene, a map[string]any) { s.batch = find(a, "batch", "id") }),
		ask(pass+"PassService/GetPassBatch", `{"pass_batch_id":%q}`, func(s *scene) any { return s.batch }),
		ask(pass+"PassService/CancelPassBatch", `{"pass_batch_id":%q}`, func(s *scene) any { return s.batch }),
		ask(pass+"PassService/VoidPass", `{"pass_serial":%q}`, serial),

		ask(ledger+"LedgerService/RecordSale", `{"capture":`+fmt.Sprintf(capture, "toolsSale")+`,"application_fee_minor_units":"250"}`),
		ask(ledger+"LedgerService/RecordReceipt", `{"capture":`+fmt.Sprintf(capture, "toolsReceipt")+`}`),
		ask(ledger+"LedgerService/RecordStripeFee", `{"balance_transaction_id":"txn_tools","order_id":"toolsOrder0000000001",
			"fee":{"currency":"EUR","minor_units":"92"},"charge_time":"2026-01-02T03:04:05Z"}`),
		ask(ledger+"LedgerService/RecordRefund", `{"stripe_refund_id":"re_toolsLedger","payment_intent_id":"pi_toolsSale",
			"amount":{"currency":"EUR","minor_units":"100"},"refund_time":"2026-01-02T03:04:05Z"}`),
		ask(ledger+"LedgerService/RecordRefundFailure", `{"stripe_refund_id":"re_toolsLedger"}`),
		ask(ledger+"LedgerService/RecordDisputeFunds", `{"dispute_id":"du_toolsLedger","payment_intent_id":"pi_toolsSale","balance_transaction_id":"txn_toolsDispute",
			"amount":{"currency":"EUR","minor_units":"-4450"},"fee_minor_units":"1500","funds_time":"2026-01-02T03:04:05Z"}`),
		ask(ledger+"LedgerService/RecordDisputeLoss", `{"dispute_id":"du_toolsLedger","payment_intent_id":"pi_toolsSale",
			"amount":{"currency":"EUR","minor_units":"4450"},"close_time":"2026-01-02T03:04:05Z"}`),
		ask(ledger+"LedgerService/RecordPayout", `{"payout_id":"po_tools","status":"PAYOUT_STATUS_PAID",
			"amount":{"currency":"EUR","minor_units":"100"},"payout_time":"2026-01-02T03:04:05Z"}`),
		ask(ledger+"LedgerService/RecordTransfer", `{"transfer_id":"tr_tools","stripe_account":"acct_tools","organizer_id":"toolsOrganizer000001",
			"amount":{"currency":"EUR","minor_units":"100"},"transfer_time":"2026-01-02T03:04:05Z"}`),
		ask(ledger+"LedgerService/RecordTransferReversal", `{"transfer_reversal_id":"trr_tools","transfer_id":"tr_tools",
			"amount":{"currency":"EUR","minor_units":"50"},"reverse_time":"2026-01-02T03:04:05Z"}`),
		ask(ledger+"LedgerService/RecordApplicationFee", `{"application_fee_id":"fee_tools","stripe_account":"acct_tools","organizer_id":"toolsOrganizer000001",
			"amount":{"currency":"EUR","minor_units":"100"},"refunded_minor_units":"40","fee_time":"2026-01-02T03:04:05Z"}`),
		ask(ledger+"LedgerService/RecordRecovery", `{"recovery_id":"toolsRecovery0000001","organizer_id":"toolsOrganizer000001",
			"amount":{"currency":"EUR","minor_units":"10"},"recovery_time":"2026-01-02T03:04:05Z"}`),
		ask(ledger+"LedgerService/RecordConversion", `{"balance_transaction_id":"txn_toolsFx","from":{"currency":"USD","minor_units":"110"},
			"to":{"currency":"EUR","minor_units":"100"},"conversion_time":"2026-01-02T03:04:05Z"}`),
		ask(ledger+"LedgerService/RecordPayoutTransactions", `{"payout_id":"po_tools","amount":{"currency":"EUR","minor_units":"100"},
			"transaction_count":"1","net_minor_units":"100","complete_time":"2026-01-02T03:04:05Z"}`),
		ask(ledger+"StatementService/GetEntry", `{"reference":"capture:pi_toolsSale"}`),
		ask(ledger+"StatementService/GetOrderStatement", `{"order_id":"toolsOrder0000000001"}`),
		ask(ledger+"StatementService/GetAccountStatement", `{"account":"organizers:toolsOrganizer000001:payable"}`),
		ask(ledger+"StatementService/GetTrialBalance", `{}`),
		ask(ledger+"StatementService/ListEntries", `{"page_size":3}`),
		ask(ledger+"StatementService/GetOrganizerStatement", `{"organizer_id":"toolsOrganizer000001"}`),
		ask(ledger+"StatementService/GetDayStatement", `{"day":"2026-01-02"}`),
		ask(ledger+"StatementService/ExportStatement", `{"order_id":"toolsOrder0000000001"}`),
		ask(checkout+"SettlementService/ListOrderMoney", `{"page_size":3}`),

		// The books are full of entries by now that no order asked for.
		ask(ledger+"ReconciliationService/StartReconciliation", `{"from_time":"2025-01-01T00:00:00Z","until_time":"2030-01-01T00:00:00Z"}`).
			learning(func(s *scene, a map[string]any) { s.run = find(a, "run", "id") }),
		ask(ledger+"ReconciliationService/GetReconciliationRun", `{"run_id":%q}`, (*scene).awaitRun),
		ask(ledger+"ReconciliationService/ListReconciliationRuns", `{"page_size":3}`),
		ask(ledger+"ReconciliationService/ListDifferences", `{"filter":{"state":"DIFFERENCE_STATE_OPEN"}}`).
			learning(func(s *scene, a map[string]any) { s.difference = find(first(a, "differences"), "id") }),
		ask(ledger+"ReconciliationService/ResolveDifference", `{"difference_id":%q,"reason":"made by the tools"}`, func(s *scene) any { return s.difference }),
		ask(ledger+"ReconciliationService/ExportDifferences", `{}`),

		ask(webhook+"WebhookService/ListWebhookEvents", `{"page_size":3}`),
		ask(webhook+"WebhookService/GetWebhookEvent", `{"endpoint":"account","event_id":%q}`, func(s *scene) any { return s.webhookEvent }),
		ask(webhook+"WebhookService/ReplayWebhookEvents", `{"event_ids":[%q],"note":"tools"}`, func(s *scene) any { return s.webhookEvent }),
		ask(webhook+"WebhookService/ListHandlers", `{}`),
	}
}

// base is the address of the service that has a method.
func (s *scene) base(method string) string {
	return map[string]string{
		"checkout": s.file.CheckoutURL, "pass": s.file.PassURL, "ledger": s.file.LedgerURL, "webhook": s.file.WebhookURL,
	}[strings.Split(method, ".")[1]]
}

// newScene makes what the examples talk about.
func newScene(t *testing.T) *scene {
	t.Helper()
	m := e2etest.NewCluster(t, 1, e2etest.OnDemand)
	system := client.NewClient(m.File)
	variant := e2etest.NewVariant(t, system, 4450, 100)
	s := &scene{file: m.File, client: system, event: variant.GetEventId(), variant: variant.GetId()}
	sell := func() client.Sale {
		sale, err := system.Sell(e2etest.Within(t, time.Minute), client.Purchase{VariantID: variant.GetId(), Tickets: 1, Via: client.ViaBoth})
		if err != nil {
			t.Fatal(err)
		}
		return sale
	}
	s.sold = sell()
	s.handover = newHandover(t, system, variant.GetId())
	s.serial = s.sold.Tickets[0].PassSerial
	s.refundable, s.disputable = e2etest.Order(t, system, sell().OrderID), e2etest.Order(t, system, sell().OrderID)
	s.other = e2etest.Start(t, system, variant, 1)
	s.cart = s.buy(t, variant)
	s.free = e2etest.Start(t, system, newFreeVariant(t, system, 1), 1)
	if _, err := system.Catalog.UpdateEvent(e2etest.Keyed(e2etest.Within(t, 10*time.Second)), &checkoutv1.UpdateEventRequest{
		EventId: s.event, Event: &checkoutv1.EventFields{RefundPolicy: &checkoutv1.RefundPolicy{BuyerSecondsBeforeStart: new(int64), KeptBasisPoints: 1000}},
		UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"refund_policy"}},
	}); err != nil {
		t.Fatal(err)
	}
	s.returned = s.buy(t, variant)
	s.returnedTicket = e2etest.Order(t, system, s.returned.OrderID).Tickets[0].ID
	// Money that does not fit raises an item for the examples to resolve.
	odd := e2etest.Start(t, system, variant, 1)
	request := succeeded(odd, 4450)
	request.Livemode = true
	if _, err := system.Payments.RecordPayment(e2etest.Keyed(e2etest.Within(t, 10*time.Second)), request); err != nil {
		t.Fatal(err)
	}
	e2etest.PostEvent(t, system, "product.created", e2etest.Resource{"id": "prod_tools", "object": "product", "livemode": false})
	s.webhookEvent = newestEvent(t, system)
	e2etest.AwaitIdle(t, system, idle.Scope{})
	s.part = e2etest.Start(t, system, variant, 1)
	if _, err := system.Payments.RecordPayment(e2etest.Keyed(e2etest.Within(t, 10*time.Second)), succeeded(s.part, 4000)); err != nil {
		t.Fatal(err)
	}
	s.prepareMove(t, m)
	return s
}

// buy has a buyer buy a ticket and returns the cart.
func (s *scene) buy(t *testing.T, variant *checkoutv1.Variant) client.Cart {
	t.Helper()
	cart := e2etest.Start(t, s.client, variant, 1)
	if err := s.client.Stripe.Confirm(e2etest.Within(t, 10*time.Second), cart.IntentID, cart.ClientSecret, client.CardThatPays); err != nil {
		t.Fatal(err)
	}
	e2etest.Await(t, s.client, cart.OrderID, "completed", e2etest.Completed)
	return cart
}

// prepareMove has the examples' event be moved as far as the fence: a transaction that is older than the move stays open.
func (s *scene) prepareMove(t *testing.T, m *cluster.Cluster) {
	t.Helper()
	ctx := e2etest.Within(t, time.Minute)
	tx, err := e2etest.Connect(t, m, "checkout").Begin(ctx)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tx.Rollback(context.Background()) })
	if _, err := tx.Exec(ctx, "select pg_current_xact_id()"); err != nil {
		t.Fatal(err)
	}
	start := timestamppb.New(time.Date(2030, 1, 1, 19, 0, 0, 0, time.UTC))
	made, err := s.client.Catalog.CreateEvent(e2etest.Keyed(ctx), &checkoutv1.CreateEventRequest{
		OrganizerId: "toolsOrganizer000001", OrganizerName: "Tools", Name: "Tools on the move", Venue: &checkoutv1.Venue{Name: "Hall", TimeZone: "Europe/Berlin"},
		StartTime: start, EndTime: timestamppb.New(start.AsTime().Add(time.Hour)),
	})
	if err != nil {
		t.Fatal(err)
	}
	s.moving = made.GetEvent().GetId()
	seen, err := s.client.Events.MoveEvent(e2etest.Keyed(ctx), &checkoutv1.MoveEventRequest{
		EventId: s.moving, StartTime: timestamppb.New(start.AsTime().AddDate(0, 0, 1)), Preview: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	s.confirmation = seen.GetPreview().GetConfirmationToken()
}
