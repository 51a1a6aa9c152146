package checkoutsvc_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"

	"connectrpc.com/connect"
	server "github.com/emersion/go-smtp"

	"github.com/dayof/dayof/checkoutsvc"
	"github.com/dayof/dayof/devenv/sandbox/fault"
	checkoutv1 "github.com/dayof/dayof/gen/dayof/checkout/v1"
	"github.com/dayof/dayof/internal/chassis/problem"
)

// TestHoldThatCannotEndStopsNoOther lets holds run out whose first one cannot be ended.
func TestHoldThatCannotEndStopsNoOther(t *testing.T) {
	w := newHarness(t)
	bad := w.start("bad", 1).GetOrder().GetId()
	if _, err := w.pool.Exec(t.Context(), `create function refuse() returns trigger language plpgsql as $$ begin raise exception 'no'; end $$`); err != nil {
		t.Fatal(err)
	}
	if _, err := w.pool.Exec(t.Context(), `create trigger refuse before update on holds for each row when (old.order_id = '`+bad+`') execute function refuse()`); err != nil {
		t.Fatal(err)
	}
	good := w.start("good", 1).GetOrder().GetId()
	if _, err := w.pool.Exec(t.Context(), `alter table holds disable trigger refuse`); err != nil {
		t.Fatal(err)
	}
	for i, id := range []string{bad, good} { // the bad one first
		if _, err := w.pool.Exec(t.Context(), `update holds set expire_time = now() - make_interval(hours => $2) where order_id = $1`, id, 2-i); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := w.pool.Exec(t.Context(), `alter table holds enable trigger refuse`); err != nil {
		t.Fatal(err)
	}
	w.waitFor(good, "expired", holdIs(checkoutv1.HoldState_HOLD_STATE_EXPIRED))
}

// TestAccountThatStripeRefusesStopsNoSale has Stripe refuse all that is asked for one connected account, with too many requests and
// with errors of its own: sales for others go on.
func TestAccountThatStripeRefusesStopsNoSale(t *testing.T) {
	t.Parallel()
	const bad = "acct_1Refused"
	for _, status := range []int{http.StatusTooManyRequests, http.StatusInternalServerError} {
		t.Run(http.StatusText(status), func(t *testing.T) {
			w := newHarness(t, func(c *checkoutsvc.Config) {
				target, err := url.Parse(c.StripeURL)
				if err != nil {
					t.Fatal(err)
				}
				proxy := httputil.NewSingleHostReverseProxy(target)
				c.StripeURL = serve(t, http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
					if !strings.HasSuffix(r.URL.Path, bad) {
						proxy.ServeHTTP(rw, r)
						return
					}
					rw.WriteHeader(status)
					fmt.Fprint(rw, `{"error": {"type": "api_error"}}`)
				}))
			})
			w.start("before", 1)
			for i := range 12 {
				_, err := w.replicas[0].accounts().RecordAccount(w.keyed(fmt.Sprint("account/", i)), &checkoutv1.RecordAccountRequest{StripeAccount: bad})
				if problem.Code(err) != connect.CodeUnavailable {
					t.Fatalf("call %d: %v", i, err)
				}
			}
			w.start("after", 1)
		})
	}
}

// TestRefundsThatStripeLimitsStopNoSale has Stripe answer every call for a refund with too many requests or an error of its own: sales
// go on.
func TestRefundsThatStripeLimitsStopNoSale(t *testing.T) {
	t.Parallel()
	for name, mode := range map[string]fault.Mode{"limited": fault.TooMany, "broken": fault.ServerError, "broken for good": fault.StoredError} {
		t.Run(name, func(t *testing.T) {
			w := newHarness(t)
			o := w.bought("limited", breakerFailures+1)
			w.failStripe(fault.Fault{Mode: mode})
			for i, ticket := range o.GetTickets() {
				req := &checkoutv1.RefundOrderRequest{OrderId: o.GetId(), TicketIds: []string{ticket.GetId()}}
				if reason := w.refund(fmt.Sprint("refund/", i), req); reason != "" {
					t.Fatalf("refund %d is refused: %s", i, reason)
				}
			}
			w.until("each refund was tried", func() bool {
				return w.count(`select count(*) from river_job where kind = 'send_refund' and (errors is not null or state = 'scheduled')`) == len(o.GetTickets())
			})
			w.start("after", 1)
		})
	}
}

// breakerFailures is how many failures in a row open a circuit breaker.
const breakerFailures = 5

// pickyMail is a mail server that has no mailboxes but one.
type pickyMail struct {
	mu    sync.Mutex
	mails []string
	tries map[string]int
}

func (m *pickyMail) NewSession(*server.Conn) (server.Session, error) {
	return &pickySession{mail: m}, nil
}

type pickySession struct {
	mail *pickyMail
	to   string
}

func (s *pickySession) Reset()                                 {}
func (s *pickySession) Logout() error                          { return nil }
func (s *pickySession) Mail(string, *server.MailOptions) error { return nil }

func (s *pickySession) Rcpt(to string, _ *server.RcptOptions) error {
	s.to = to
	s.mail.mu.Lock()
	defer s.mail.mu.Unlock()
	s.mail.tries[to]++
	if strings.HasPrefix(to, "gone") {
		return &server.SMTPError{Code: 550, EnhancedCode: server.EnhancedCode{5, 1, 1}, Message: "no such user " + to}
	}
	return nil
}

func (s *pickySession) Data(r io.Reader) error {
	_, err := io.ReadAll(r)
	s.mail.mu.Lock()
	defer s.mail.mu.Unlock()
	s.mail.mails = append(s.mail.mails, s.to)
	return err
}

// TestBadAddressesStopNoOtherMail sells to addresses that the mail server does not have: each ends with a review case at the first try, and others get their mail at once.
func TestBadAddressesStopNoOtherMail(t *testing.T) {
	mail := &pickyMail{tries: map[string]int{}}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := server.NewServer(mail)
	go func() { _ = s.Serve(listener) }()
	t.Cleanup(func() { _ = s.Close() })
	w := newHarness(t, func(c *checkoutsvc.Config) { c.SMTP.Address = listener.Addr().String() })
	buy := func(email string) string {
		cart := w.cart(1)
		cart.Buyer.Email = email
		started, err := w.replicas[0].checkout.StartCheckout(w.keyed("start/"+email), cart)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.replicas[0].payments.RecordPayment(w.keyed("paid/"+email), paid(started.GetOrder())); err != nil {
			t.Fatal(err)
		}
		return started.GetOrder().GetId()
	}
	var bad []string
	for i := range 8 {
		bad = append(bad, buy(fmt.Sprintf("gone%d@example.test", i)))
	}
	good := buy("erika@example.test")
	w.waitUntil("the good address has its mail", func() bool {
		return w.count("select count(*) from orders where receipt_sent_time is not null and id = $1", good) == 1
	})
	for _, id := range bad {
		w.waitUntil("the bad address has a review case", func() bool { return slices.Contains(w.items(id), "mail_undeliverable") })
	}
	w.waitUntil("no mail is left to send", func() bool {
		return w.count("select count(*) from river_job where kind = 'send_receipt' and state not in ('completed')") == 0
	})
	mail.mu.Lock()
	defer mail.mu.Unlock()
	for address, n := range mail.tries {
		if n != 1 {
			t.Errorf("%s was tried %d times", address, n)
		}
	}
	if n := w.count("select count(*) from review_cases where facts::text like '%example.test%'"); n != 0 {
		t.Errorf("%d review cases show an address", n)
	}
}
