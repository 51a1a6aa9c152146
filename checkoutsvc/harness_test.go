package checkoutsvc_test

import (
	"context"
	"encoding/base64"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/jackc/pgx/v5/pgxpool"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/dayof/dayof/checkoutsvc"
	"github.com/dayof/dayof/devenv/pgtest"
	"github.com/dayof/dayof/devenv/sandbox/fault"
	"github.com/dayof/dayof/devenv/sandbox/stripe"
	checkoutv1 "github.com/dayof/dayof/gen/dayof/checkout/v1"
	"github.com/dayof/dayof/gen/dayof/checkout/v1/checkoutv1connect"
	ledgerv1 "github.com/dayof/dayof/gen/dayof/ledger/v1"
	"github.com/dayof/dayof/gen/dayof/ledger/v1/ledgerv1connect"
	moneyv1 "github.com/dayof/dayof/gen/dayof/money/v1"
	"github.com/dayof/dayof/gen/dayof/pass/v1/passv1connect"
	"github.com/dayof/dayof/internal/chassis/clock"
	"github.com/dayof/dayof/internal/chassis/config"
	"github.com/dayof/dayof/internal/chassis/rpc"
	"github.com/dayof/dayof/internal/chassis/stripeapi"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

const (
	operatorToken = "operator-token-of-this-test"
	organizerID   = "org00000000000000test"
	// patience ends a test that hangs; nothing is decided by it.
	patience = 3 * time.Minute
)

// harness is a checkoutsvc on a database of its own, with Stripe's stand-in and two peers that keep count.
type harness struct {
	t      testing.TB
	pool   *pgxpool.Pool
	config checkoutsvc.Config
	stripe string // base URL
	faults *fault.Faults
	passes *passKeeper
	ledger *bookKeeper
	peers  [2]string
	clock  clock.Clock
	// peerTimeout is that of calls to the peers; 0 is the default.
	peerTimeout time.Duration
	replicas    []*replica
	log         logBuffer // of all replicas and peers, from debug on
	seller
}

// replica is one running checkoutsvc.
type replica struct {
	service  *checkoutsvc.Service
	checkout checkoutv1connect.CheckoutServiceClient
	orders   checkoutv1connect.OrderServiceClient
	payments checkoutv1connect.PaymentServiceClient
	door     checkoutv1connect.AdmissionServiceClient
	catalog  checkoutv1connect.CatalogServiceClient
	desk     checkoutv1connect.OperationsServiceClient
	events   checkoutv1connect.EventOperationServiceClient
	rooms    checkoutv1connect.WaitingRoomServiceClient
	url      string
}

// seller is what is on sale.
type seller struct {
	event   *checkoutv1.Event
	product *checkoutv1.Product
	variant *checkoutv1.Variant
}

type option func(*checkoutsvc.Config)

// newHarness starts everything with one variant of 89.00 EUR and 100 tickets on sale.
func newHarness(t *testing.T, opts ...option) *harness {
	t.Helper()
	t.Parallel()
	return newHarnessAlone(t, opts...)
}

// newHarnessAlone is newHarness for a test that nobody else may disturb, or a benchmark.
func newHarnessAlone(t testing.TB, opts ...option) *harness {
	t.Helper()
	w := &harness{t: t, pool: pgtest.New(t, checkoutsvc.Migrate), passes: newPassKeeper(), ledger: newBookKeeper(), clock: clock.System{}}
	w.faults = fault.New(1)
	sandbox, err := stripe.New(stripe.Config{Clock: clock.System{}, Logger: slog.New(slog.DiscardHandler), Faults: w.faults})
	if err != nil {
		t.Fatalf("start sandbox stripe: %v", err)
	}
	t.Cleanup(func() { _ = sandbox.Close() })
	w.stripe = serve(t, w.faults.Wrap(fault.Stripe, sandbox))
	w.config = checkoutsvc.LoadConfig(config.New(func(string) string { return "" }))
	w.config.ConsoleURL = "http://console.test"
	w.config.StripeURL, w.config.StripeKey = w.stripe, config.NewSecret("sk_test_checkout")
	w.config.CodeKeys = []config.Secret{config.NewSecret(base64.StdEncoding.EncodeToString(make([]byte, 32)))}
	w.config.OrderTokenKeys = []config.Secret{config.NewSecret(strings.Repeat("k", 32))}
	w.config.SweepInterval = 50 * time.Millisecond
	w.config.StripeLimits = stripeapi.Limits{} // the sandbox has none
	w.config.BuyerHoldsMax = 0                 // all carts are of one buyer
	for _, o := range opts {
		o(&w.config)
	}
	w.peers[0] = serveRPC(t, passv1connect.PassServiceName, func() (string, http.Handler) {
		return passv1connect.NewPassServiceHandler(w.passes, handlerOptions(w.logger(), rpc.Policy{
			passv1connect.PassServiceIssuePassesProcedure: rpc.RoleOperator, passv1connect.PassServiceVoidPassProcedure: rpc.RoleOperator,
			passv1connect.PassServiceListPassesProcedure: rpc.RoleOperator, passv1connect.PassServiceSetPassSuspendedProcedure: rpc.RoleOperator,
			passv1connect.PassServiceBatchUpdatePassesProcedure: rpc.RoleOperator, passv1connect.PassServiceGetPassBatchProcedure: rpc.RoleOperator,
			passv1connect.PassServiceCancelPassBatchProcedure: rpc.RoleOperator, passv1connect.PassServiceGetPassProcedure: rpc.RoleOperator,
		}, nil)...)
	})
	w.peers[1] = serveRPC(t, ledgerv1connect.LedgerServiceName, func() (string, http.Handler) {
		policy := rpc.Policy{}
		for _, p := range []string{
			ledgerv1connect.LedgerServiceRecordSaleProcedure, ledgerv1connect.LedgerServiceRecordReceiptProcedure,
			ledgerv1connect.LedgerServiceRecordStripeFeeProcedure, ledgerv1connect.LedgerServiceRecordRefundProcedure,
			ledgerv1connect.LedgerServiceRecordRefundFailureProcedure, ledgerv1connect.LedgerServiceRecordDisputeFundsProcedure,
			ledgerv1connect.LedgerServiceRecordDisputeLossProcedure, ledgerv1connect.LedgerServiceRecordConversionProcedure,
		} {
			policy[p] = rpc.RoleOperator
		}
		return ledgerv1connect.NewLedgerServiceHandler(w.ledger, handlerOptions(w.logger(), policy, nil)...)
	})
	w.addReplica()
	w.seller = w.sell(8900, 100)
	return w
}

// addReplica starts one more checkoutsvc on the same database.
func (w *harness) addReplica(opts ...option) *replica {
	w.t.Helper()
	r := w.newReplica(w.pool, opts...)
	if err := r.service.Start(w.t.Context()); err != nil {
		w.t.Fatalf("start service: %v", err)
	}
	return r
}

// newReplica is addReplica without background work, on a pool of the caller's.
func (w *harness) newReplica(pool *pgxpool.Pool, opts ...option) *replica {
	w.t.Helper()
	c := w.config
	for _, o := range opts {
		o(&c)
	}
	dial := func(url string) rpc.DialConfig {
		return rpc.DialConfig{BaseURL: url, Name: "checkoutsvc", Token: config.NewSecret(operatorToken), Timeout: w.peerTimeout}
	}
	passHTTP, passOpts := rpc.Dial(dial(w.peers[0]))
	ledgerHTTP, ledgerOpts := rpc.Dial(dial(w.peers[1]))
	s, err := checkoutsvc.New(checkoutsvc.Deps{
		Config: c, Pool: pool, Clock: w.clock, Logger: w.logger(),
		Passes: passv1connect.NewPassServiceClient(passHTTP, w.peers[0], passOpts...),
		Ledger: ledgerv1connect.NewLedgerServiceClient(ledgerHTTP, w.peers[1], ledgerOpts...),
	})
	if err != nil {
		w.t.Fatalf("new service: %v", err)
	}
	w.t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := s.Stop(ctx); err != nil {
			w.t.Errorf("stop service: %v", err)
		}
	})
	url := serve(w.t, rpc.NewHandler(rpc.Config{Services: s.Handlers(handlerOptions(w.logger(), checkoutsvc.Policy(), s.Identify)...)}))
	client, clientOpts := rpc.Dial(rpc.DialConfig{BaseURL: url, Token: config.NewSecret(operatorToken), Timeout: patience})
	r := &replica{
		service: s, url: url,
		checkout: checkoutv1connect.NewCheckoutServiceClient(client, url, clientOpts...),
		orders:   checkoutv1connect.NewOrderServiceClient(client, url, clientOpts...),
		payments: checkoutv1connect.NewPaymentServiceClient(client, url, clientOpts...),
		door:     checkoutv1connect.NewAdmissionServiceClient(client, url, clientOpts...),
		catalog:  checkoutv1connect.NewCatalogServiceClient(client, url, clientOpts...),
		desk:     checkoutv1connect.NewOperationsServiceClient(client, url, clientOpts...),
		events:   checkoutv1connect.NewEventOperationServiceClient(client, url, clientOpts...),
		rooms:    checkoutv1connect.NewWaitingRoomServiceClient(client, url, clientOpts...),
	}
	w.replicas = append(w.replicas, r)
	return r
}

// logger shows what went wrong, beside the failure that it explains, and keeps all lines in w.log.
func (w *harness) logger() *slog.Logger {
	return slog.New(slog.NewMultiHandler(
		slog.NewTextHandler(w.t.Output(), &slog.HandlerOptions{Level: slog.LevelError}),
		slog.NewJSONHandler(&w.log, &slog.HandlerOptions{Level: slog.LevelDebug}),
	))
}

// logBuffer keeps what many loggers write.
type logBuffer struct {
	mu   sync.Mutex
	text strings.Builder
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// serve runs a handler on a real socket with HTTP/2 without TLS.
func serve(t testing.TB, h http.Handler) string {
	t.Helper()
	server := httptest.NewUnstartedServer(h)
	server.Config.Protocols = new(http.Protocols)
	server.Config.Protocols.SetHTTP1(true)
	server.Config.Protocols.SetUnencryptedHTTP2(true)
	server.Start()
	t.Cleanup(server.Close)
	return server.URL
}

func serveRPC(t testing.TB, name string, make func() (string, http.Handler)) string {
	t.Helper()
	path, h := make()
	return serve(t, rpc.NewHandler(rpc.Config{Services: []rpc.Service{{Name: name, Path: path, Handler: h}}}))
}

// keyed returns a context whose call carries an idempotency key.
func (w *harness) keyed(key string) context.Context {
	return rpc.WithIdempotencyKey(w.t.Context(), strings.ReplaceAll(key, " ", "_"))
}

// sell puts a variant of an event of its own on sale.
func (w *harness) sell(priceMinorUnits, capacity int64) seller {
	w.t.Helper()
	c := w.replicas[0].catalog
	start := time.Date(2027, 3, 1, 19, 0, 0, 0, time.UTC)
	key := fmt.Sprintf("sell/%d/%d/", priceMinorUnits, capacity)
	event, err := c.CreateEvent(w.keyed(key+"event"), &checkoutv1.CreateEventRequest{
		OrganizerId: organizerID, OrganizerName: "Musikhaus", Name: "Nachtkonzert",
		Venue:     &checkoutv1.Venue{Name: "Halle 1", Address: "Hauptstr. 1, Berlin", TimeZone: "Europe/Berlin"},
		StartTime: timestamppb.New(start), EndTime: timestamppb.New(start.Add(3 * time.Hour)),
	})
	if err != nil {
		w.t.Fatalf("create event: %v", err)
	}
	product, err := c.CreateProduct(w.keyed(key+"product"), &checkoutv1.CreateProductRequest{EventId: event.GetEvent().GetId(), Name: "Ticket"})
	if err != nil {
		w.t.Fatalf("create product: %v", err)
	}
	variant, err := c.CreateVariant(w.keyed(key+"variant"), &checkoutv1.CreateVariantRequest{
		ProductId: product.GetProduct().GetId(), Name: "Stehplatz", CapacityTicketCount: capacity,
		Version: &checkoutv1.VariantVersion{
			Price: &moneyv1.Money{Currency: "EUR", MinorUnits: priceMinorUnits}, ApplicationFeeMinorUnits: priceMinorUnits / 20,
			TaxMinorUnits: priceMinorUnits / 10, TaxCountry: "DE", TaxKind: "vat", Terms: "No refunds after doors open.",
		},
	})
	if err != nil {
		w.t.Fatalf("create variant: %v", err)
	}
	return seller{event: event.GetEvent(), product: product.GetProduct(), variant: variant.GetVariant()}
}

// cart is a request for quantity tickets of what is on sale.
func (s seller) cart(quantity int32) *checkoutv1.StartCheckoutRequest {
	return &checkoutv1.StartCheckoutRequest{
		EventId: s.event.GetId(),
		Lines:   []*checkoutv1.CartLine{{VariantId: s.variant.GetId(), Quantity: quantity}},
		Buyer:   &checkoutv1.Buyer{Name: "Erika Beispiel", Email: "erika@example.test", Language: "de"},
	}
}

// start starts a checkout of quantity tickets.
func (w *harness) start(key string, quantity int32) *checkoutv1.StartCheckoutResponse {
	w.t.Helper()
	res, err := w.replicas[0].checkout.StartCheckout(w.keyed("start/"+key), w.cart(quantity))
	if err != nil {
		w.t.Fatalf("start checkout: %v", err)
	}
	return res
}

// paid is the observation that an order's first intent succeeded.
func paid(o *checkoutv1.Order) *checkoutv1.RecordPaymentRequest {
	return &checkoutv1.RecordPaymentRequest{
		PaymentIntentId: o.GetPaymentIntents()[0].GetId(), OrderId: o.GetId(),
		Status: checkoutv1.PaymentIntentStatus_PAYMENT_INTENT_STATUS_SUCCEEDED,
		Amount: o.GetTotal(), ReceivedMinorUnits: o.GetTotal().GetMinorUnits(),
		ObservedTime: timestamppb.New(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)),
	}
}

// order reads an order as staff see it.
func (w *harness) order(id string) *checkoutv1.Order {
	w.t.Helper()
	res, err := w.replicas[0].orders.GetOrderDetails(w.t.Context(), &checkoutv1.GetOrderDetailsRequest{OrderId: id})
	if err != nil {
		w.t.Fatalf("get order: %v", err)
	}
	return res.GetOrder()
}

// waitFor polls until the order is as wanted.
func (w *harness) waitFor(id, what string, ok func(o *checkoutv1.Order) bool) *checkoutv1.Order {
	w.t.Helper()
	deadline := (clock.System{}).Now().Add(patience)
	for {
		o := w.order(id)
		if ok(o) {
			return o
		}
		if (clock.System{}).Now().After(deadline) {
			w.t.Fatalf("order %s is never %s: payment %v, fulfilment %v, hold %v, refunds %v", id, what, o.GetPaymentState(), o.GetFulfilmentState(), o.GetHoldState(), o.GetRefunds())
		}
		<-time.After(10 * time.Millisecond)
	}
}

// until polls until something holds.
func (w *harness) until(what string, ok func() bool) {
	w.t.Helper()
	for deadline := (clock.System{}).Now().Add(patience); !ok(); <-time.After(10 * time.Millisecond) {
		if (clock.System{}).Now().After(deadline) {
			w.t.Fatalf("never %s", what)
		}
	}
}

func fulfilmentIs(state checkoutv1.FulfilmentState) func(*checkoutv1.Order) bool {
	return func(o *checkoutv1.Order) bool { return o.GetFulfilmentState() == state }
}

// admission asks the door about a ticket.
func (w *harness) admission(t *checkoutv1.TicketInstance) checkoutv1.Admission {
	w.t.Helper()
	res, err := w.replicas[0].door.CheckTicket(w.t.Context(), &checkoutv1.CheckTicketRequest{Code: t.GetCode(), EventId: t.GetEventId()})
	if err != nil {
		w.t.Fatalf("check ticket: %v", err)
	}
	return res.GetAdmission()
}

// items lists the open review cases of an order by kind.
func (w *harness) items(orderID string) []string {
	w.t.Helper()
	res, err := w.replicas[0].desk.ListReviewCases(w.t.Context(), &checkoutv1.ListReviewCasesRequest{OrderId: orderID})
	if err != nil {
		w.t.Fatalf("list review cases: %v", err)
	}
	var kinds []string
	for _, i := range res.GetItems() {
		kinds = append(kinds, i.GetKind())
	}
	return kinds
}

// givenUp says whether an order was given up. It may be asked by a party after the test's end.
func (w *harness) givenUp() bool {
	var given bool
	err := w.pool.QueryRow(context.Background(), "select exists (select from orders where fulfilment = 'unfulfillable')").Scan(&given)
	return err != nil || given
}

// count runs a query that returns one number.
// waitForEntry waits until the ledger has an entry, and checks what kind it is.
func (w *harness) waitForEntry(reference string, want ledgerv1.EntryKind) {
	w.t.Helper()
	deadline := (clock.System{}).Now().Add(patience)
	for w.ledger.has(reference) == ledgerv1.EntryKind_ENTRY_KIND_UNSPECIFIED {
		if (clock.System{}).Now().After(deadline) {
			w.t.Fatalf("the ledger never has %s", reference)
		}
		<-time.After(10 * time.Millisecond)
	}
	if kind := w.ledger.has(reference); kind != want {
		w.t.Errorf("the ledger has %v under %s, want %v", kind, reference, want)
	}
}

func (w *harness) count(sql string, args ...any) int {
	w.t.Helper()
	var n int
	if err := w.pool.QueryRow(w.t.Context(), sql, args...).Scan(&n); err != nil {
		w.t.Fatalf("%s: %v", sql, err)
	}
	return n
}

func handlerOptions(logger *slog.Logger, policy rpc.Policy, identify rpc.Identify) []connect.HandlerOption {
	return rpc.NewHandlerOptions(rpc.HandlerConfig{
		Logger: logger, Clock: clock.System{}, Policy: policy, OperatorTokens: []config.Secret{config.NewSecret(operatorToken)}, Identify: identify,
	})
}
