package ledgersvc_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/jackc/pgx/v5/pgxpool"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/dayof/dayof/devenv/pgtest"
	ledgerv1 "github.com/dayof/dayof/gen/dayof/ledger/v1"
	"github.com/dayof/dayof/gen/dayof/ledger/v1/ledgerv1connect"
	moneyv1 "github.com/dayof/dayof/gen/dayof/money/v1"
	"github.com/dayof/dayof/internal/chassis/clock"
	"github.com/dayof/dayof/internal/chassis/config"
	"github.com/dayof/dayof/internal/chassis/problem"
	"github.com/dayof/dayof/internal/chassis/rpc"
	"github.com/dayof/dayof/ledgersvc"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

const (
	operatorToken = "operator-token-of-this-test"
	// patience ends a test that hangs; no test passes or fails by how long something takes.
	patience = 3 * time.Minute
	// organizer and account are those of most tests.
	organizer = "organizer00000001"
	account   = "acct_1"
)

var noon = time.Date(2026, 5, 1, 12, 0, 0, 123456000, time.UTC)

// harness is a running ledgersvc on its books.
type harness struct {
	t          testing.TB
	books      *books
	pool       *pgxpool.Pool
	service    *ledgersvc.Service
	url        string
	client     ledgerv1connect.LedgerServiceClient
	statements ledgerv1connect.StatementServiceClient
	log        *logBook
}

func newHarness(tb testing.TB) *harness {
	tb.Helper()
	return newHarnessOn(tb, newBooks(tb), ledgersvc.Config{})
}

// newHarnessOn starts a service with a database of its own on b.
func newHarnessOn(tb testing.TB, b *books, c ledgersvc.Config) *harness {
	tb.Helper()
	return newReplica(tb, b, pgtest.New(tb, ledgersvc.Migrate), c)
}

// newReplica starts a service on b and pool.
func newReplica(tb testing.TB, b *books, pool *pgxpool.Pool, c ledgersvc.Config) *harness {
	tb.Helper()
	c.Formance.URL, c.Formance.Ledger = b.url, b.ledger
	w := &harness{t: tb, books: b, pool: pool, log: &logBook{}}
	logger := slog.New(slog.NewJSONHandler(w.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	tb.Cleanup(func() {
		if tb.Failed() {
			tb.Log(w.log.warnings())
		}
	})
	var err error
	w.service, err = ledgersvc.New(ledgersvc.Deps{Config: c, Pool: pool, Clock: clock.System{}, Logger: logger})
	if err != nil {
		tb.Fatal(err)
	}
	if err := w.service.Start(tb.Context()); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := w.service.Stop(context.Background()); err != nil {
			tb.Error(err)
		}
	})
	token := config.NewSecret(operatorToken)
	services := w.service.Handlers(rpc.NewHandlerOptions(rpc.HandlerConfig{
		Logger: logger, Clock: clock.System{}, Policy: ledgersvc.Policy(), OperatorTokens: []config.Secret{token},
	})...)
	w.url = serve(tb, rpc.Config{Services: services, Logger: logger})
	client, options := rpc.Dial(rpc.DialConfig{BaseURL: w.url, Name: "test", Token: token, Timeout: patience})
	tb.Cleanup(client.CloseIdleConnections)
	w.client = ledgerv1connect.NewLedgerServiceClient(client, w.url, options...)
	w.statements = ledgerv1connect.NewStatementServiceClient(client, w.url, options...)
	return w
}

// serve runs rpc.Serve on a free port until the test ends.
func serve(tb testing.TB, c rpc.Config) string {
	tb.Helper()
	listener, err := new(net.ListenConfig).Listen(tb.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	c.Listener = listener
	c.DrainTimeout = patience
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- rpc.Serve(ctx, c) }()
	tb.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			tb.Error(err)
		}
	})
	return "http://" + listener.Addr().String()
}

// logBook keeps what a service logs.
type logBook struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logBook) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *logBook) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// warnings returns the last lines that are not about calls which went well.
func (l *logBook) warnings() string {
	var kept []string
	for line := range strings.Lines(l.String()) {
		if !strings.Contains(line, `"code":"ok"`) {
			kept = append(kept, line)
		}
	}
	return strings.Join(kept[max(0, len(kept)-40):], "")
}

// keyed returns a context with an idempotency key.
func keyed(ctx context.Context, key string) context.Context { return rpc.WithIdempotencyKey(ctx, key) }

// fresh returns a context with a key that nobody used.
func (w *harness) fresh() context.Context { return keyed(w.t.Context(), rand.Text()) }

// order returns the id of an order by number.
func order(n int) string { return fmt.Sprintf("order%011d", n) }

func eur(minor int64) *moneyv1.Money { return &moneyv1.Money{Currency: "EUR", MinorUnits: minor} }

// sale is a sale of order n, paid by intent pi_n: gross 119.00, fee 9.00, tax 19.00.
func sale(n int) *ledgerv1.RecordSaleRequest {
	return &ledgerv1.RecordSaleRequest{
		Capture:                  capture(n),
		ApplicationFeeMinorUnits: 900,
		Taxes:                    []*ledgerv1.TaxShare{{Country: "DE", Kind: "vat", MinorUnits: 1900}},
	}
}

func capture(n int) *ledgerv1.Capture {
	return &ledgerv1.Capture{
		OrderId: order(n), OrganizerId: organizer, PaymentIntentId: intent(n), Gross: eur(11900), CaptureTime: timestamppb.New(noon),
	}
}

func intent(n int) string { return fmt.Sprintf("pi_%d", n) }

func refund(n int, id string, amount int64) *ledgerv1.RecordRefundRequest {
	return &ledgerv1.RecordRefundRequest{
		StripeRefundId: id, PaymentIntentId: intent(n), Amount: eur(amount), RefundTime: timestamppb.New(noon.Add(time.Hour)),
	}
}

// must fails the test unless err is nil.
func must[T any](tb testing.TB) func(T, error) T {
	tb.Helper()
	return func(v T, err error) T {
		tb.Helper()
		if err != nil {
			tb.Fatal(err)
		}
		return v
	}
}

// wantProblem fails the test unless err is the problem.
func wantProblem(tb testing.TB, err error, code connect.Code, reason string) {
	tb.Helper()
	if problem.Code(err) != code || problem.Reason(err) != reason {
		tb.Fatalf("got %v, want %v %s", err, code, reason)
	}
}

// lines renders postings for comparison, "source > destination amount asset".
func lines(e *ledgerv1.Entry) string {
	var b strings.Builder
	for _, p := range e.GetPostings() {
		fmt.Fprintf(&b, "%s > %s %s %s\n", p.GetSource(), p.GetDestination(), p.GetAmount(), p.GetAsset())
	}
	return b.String()
}

// balance returns the balance of an account in euro at the ledger; "0" if it has none.
func (w *harness) balance(address string) string {
	w.t.Helper()
	res, err := w.statements.GetAccountStatement(w.t.Context(), &ledgerv1.GetAccountStatementRequest{Account: address, PageSize: 1})
	if err != nil {
		w.t.Fatal(err)
	}
	if b, ok := res.GetBalances()["EUR/2"]; ok {
		return b
	}
	return "0"
}

// entries returns all entries that the service knows.
func (w *harness) entries() []*ledgerv1.Entry {
	w.t.Helper()
	var all []*ledgerv1.Entry
	req := &ledgerv1.ListEntriesRequest{PageSize: 500}
	for {
		res, err := w.statements.ListEntries(w.t.Context(), req)
		if err != nil {
			w.t.Fatal(err)
		}
		all = append(all, res.GetEntries()...)
		if res.GetNextPageToken() == "" {
			return all
		}
		req.PageToken = res.GetNextPageToken()
	}
}

// eventually polls until f returns nil.
func eventually(tb testing.TB, f func() error) {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), patience)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		err := f()
		if err == nil {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			tb.Fatal(errors.Join(errors.New("it never came true"), err))
		}
	}
}
