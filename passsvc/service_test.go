package passsvc_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/dayof/dayof/devenv/pgtest"
	moneyv1 "github.com/dayof/dayof/gen/dayof/money/v1"
	passv1 "github.com/dayof/dayof/gen/dayof/pass/v1"
	"github.com/dayof/dayof/gen/dayof/pass/v1/passv1connect"
	"github.com/dayof/dayof/internal/chassis/clock"
	"github.com/dayof/dayof/internal/chassis/config"
	"github.com/dayof/dayof/internal/chassis/rpc"
	"github.com/dayof/dayof/passsvc"
	"github.com/dayof/dayof/passsvc/pkpass"
)

func TestMain(m *testing.M) {
	if os.Getenv(workerEnv) != "" {
		os.Exit(runWorker())
	}
	pgtest.Main(m)
}

// testNow is when the tests take place.
var testNow = time.Date(2026, 11, 3, 18, 30, 0, 250_000_000, time.UTC)

const (
	operatorToken = "operator-token-of-the-tests"
	tokenKey      = "1:tests-only-key-0123456789-0123456789"
	passType      = "pass.dev.dayof.ticket"
)

// throwaway makes RSA keys once per test binary: they take longer than most tests.
var throwaway = sync.OnceValues(func() (*pkpass.ThrowawayChain, error) {
	return pkpass.NewThrowawayChain(testNow, pkpass.ThrowawayOptions{})
})

func newChain(tb testing.TB) *pkpass.ThrowawayChain {
	tb.Helper()
	chain, err := throwaway()
	if err != nil {
		tb.Fatal(err)
	}
	return chain
}

// replica is a running passsvc and what one needs to talk to it.
type replica struct {
	*passsvc.Service
	client passv1connect.PassServiceClient
	url    string
	pool   *pgxpool.Pool
	clock  *clock.Fake
}

// newService starts a replica on a database of its own.
func newService(tb testing.TB, edit ...func(*passsvc.Config)) *replica {
	tb.Helper()
	return newReplica(tb, pgtest.New(tb, passsvc.Migrate), clock.NewFake(testNow), edit...)
}

// newReplica starts a replica on a database.
func newReplica(tb testing.TB, pool *pgxpool.Pool, clk *clock.Fake, edit ...func(*passsvc.Config)) *replica {
	tb.Helper()
	c := passsvc.LoadConfig(config.New(func(string) string { return "" }))
	c.PublicURL = "https://pass.example"
	c.Certificates = []config.Secret{config.NewSecret(string(newChain(tb).Bundle))}
	c.TokenKeys = []config.Secret{config.NewSecret(tokenKey)}
	c.PushCoalesce = 20 * time.Millisecond
	for _, e := range edit {
		e(&c)
	}
	logger := newLogger(tb)
	s, err := passsvc.New(passsvc.Deps{Config: c, Pool: pool, Clock: clk, Logger: logger})
	if err != nil {
		tb.Fatal(err)
	}
	handler := rpc.NewHandler(rpc.Config{
		Services: s.Handlers(rpc.NewHandlerOptions(rpc.HandlerConfig{
			Logger: logger, Clock: clk, Policy: passsvc.Policy(), OperatorTokens: []config.Secret{config.NewSecret(operatorToken)},
		})...),
		Routes: s.Routes(), Logger: logger, Clock: clk,
	})
	server := httptest.NewUnstartedServer(handler)
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	server.Config.Protocols = &protocols
	server.Start()
	tb.Cleanup(server.Close)
	httpClient, opts := rpc.Dial(rpc.DialConfig{BaseURL: server.URL, Token: config.NewSecret(operatorToken), Timeout: 3 * time.Minute})
	tb.Cleanup(httpClient.CloseIdleConnections)
	return &replica{
		Service: s, client: passv1connect.NewPassServiceClient(httpClient, server.URL, opts...), url: server.URL, pool: pool, clock: clk,
	}
}

// start runs background work until the end of the test.
func (r *replica) start(tb testing.TB) *replica {
	tb.Helper()
	if err := r.Start(tb.Context()); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(tb.Context()), 3*time.Minute)
		defer cancel()
		if err := r.Stop(ctx); err != nil {
			tb.Errorf("stop: %v", err)
		}
	})
	return r
}

// testLog shows warnings and errors of a failed test.
type testLog struct{ t testing.TB }

func (l testLog) Write(p []byte) (int, error) {
	if s := string(p); strings.Contains(s, "level=WARN") || strings.Contains(s, "level=ERROR") {
		l.t.Log(strings.TrimSpace(s))
	}
	return len(p), nil
}

var keys atomic.Int64

// withKey gives a call an idempotency key of its own.
func withKey(ctx context.Context) context.Context {
	return rpc.WithIdempotencyKey(ctx, "test/"+strconv.FormatInt(keys.Add(1), 10))
}

const (
	eventID = "Event0000000000000001"
	orderID = "Order0000000000000001"
)

func ticketID(n int) string { return fmt.Sprintf("Ticket%015d", n) }

// newContent is what the pass of ticket n shows.
func newContent(n int) *passv1.PassContent {
	return &passv1.PassContent{
		TicketId:           ticketID(n),
		TicketChangeNumber: 1,
		Code:               "D1." + ticketID(n) + ".c2lnbmF0dXJl",
		OrganizerName:      "Nachtwerk",
		Event: &passv1.PassEvent{
			Id: eventID, Name: "Long Night of Open Air", VenueName: "Gasometer", VenueAddress: "Torgauer Str. 12, 10829 Berlin",
			TimeZone: "Europe/Berlin", Latitude: new(52.4828), Longitude: new(0.0),
			DoorsTime: at(2027, 6, 18, 17, 0), StartTime: at(2027, 6, 18, 18, 30), EndTime: at(2027, 6, 18, 22, 0),
		},
		ProductName: "Standing ticket",
		VariantName: "Front block",
		HolderName:  "Ada Lovelace",
		Price:       &moneyv1.Money{Currency: "EUR", MinorUnits: 8900},
		Terms:       "No glass bottles.\nNo refunds, but for cancelled events.",
		Language:    "en",
	}
}

func at(year int, month time.Month, day, hour, minute int) *timestamppb.Timestamp {
	return timestamppb.New(time.Date(year, month, day, hour, minute, 0, 0, time.UTC))
}

// issue issues the passes of tickets 1 to n of one order.
func (r *replica) issue(tb testing.TB, n int) []*passv1.Pass {
	tb.Helper()
	req := &passv1.IssuePassesRequest{OrderId: orderID}
	for i := range n {
		req.Passes = append(req.Passes, newContent(i+1))
	}
	res, err := r.client.IssuePasses(withKey(tb.Context()), req)
	if err != nil {
		tb.Fatal(err)
	}
	return res.GetPasses()
}

// set changes one staff field.
func (r *replica) set(tb testing.TB, serial, field, value string) *passv1.UpdatePassResponse {
	tb.Helper()
	res, err := r.client.UpdatePass(withKey(tb.Context()), &passv1.UpdatePassRequest{
		PassSerial: serial, Fields: map[string]string{field: value},
	})
	if err != nil {
		tb.Fatal(err)
	}
	return res
}

// answer is what a device or browser gets.
type answer struct {
	status int
	header http.Header
	body   string
}

// do sends a request as a device would: headers come in pairs.
func (r *replica) do(tb testing.TB, method, path, body string, headers ...string) answer {
	tb.Helper()
	req, err := http.NewRequestWithContext(tb.Context(), method, r.url+path, strings.NewReader(body))
	if err != nil {
		tb.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Add(headers[i], headers[i+1])
	}
	res, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		tb.Fatal(err)
	}
	defer res.Body.Close()
	data, err := io.ReadAll(res.Body)
	if err != nil {
		tb.Fatal(err)
	}
	return answer{status: res.StatusCode, header: res.Header, body: string(data)}
}

// applePass is the header that authorises a device.
func applePass(p *passv1.Pass) []string {
	return []string{"Authorization", "ApplePass " + p.GetAuthenticationToken()}
}

func passPath(p *passv1.Pass) string {
	return "/v1/passes/" + p.GetPassTypeIdentifier() + "/" + p.GetSerial()
}

// fetch fetches a pass as a device that has its token.
func (r *replica) fetch(tb testing.TB, p *passv1.Pass, headers ...string) answer {
	tb.Helper()
	return r.do(tb, http.MethodGet, passPath(p), "", append(headers, applePass(p)...)...)
}

func newLogger(tb testing.TB) *slog.Logger {
	tb.Helper()
	return slog.New(slog.NewTextHandler(testLog{tb}, nil))
}
