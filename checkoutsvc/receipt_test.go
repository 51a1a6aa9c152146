package checkoutsvc_test

import (
	"context"
	"fmt"
	"html"
	"io"
	"log/slog"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/emersion/go-smtp"

	"github.com/dayof/dayof/checkoutsvc"
	"github.com/dayof/dayof/devenv/sandbox/mail"
	checkoutv1 "github.com/dayof/dayof/gen/dayof/checkout/v1"
	"github.com/dayof/dayof/internal/chassis/clock"
	"github.com/dayof/dayof/internal/chassis/problem"
	"github.com/dayof/dayof/internal/locale"
)

// newMailHarness is newHarness with a mail server whose log it returns.
func newMailHarness(t *testing.T, opts ...option) (*harness, *mail.Server) {
	t.Helper()
	server, err := mail.Start(mail.Config{Clock: clock.System{}, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatalf("start mail server: %v", err)
	}
	t.Cleanup(func() { _ = server.Close() })
	return newHarness(t, append(opts, func(c *checkoutsvc.Config) { c.SMTP.Address = server.Addr() })...), server
}

// buy starts and pays an order of the buyer.
func (w *harness) buy(key string, buyer *checkoutv1.Buyer) *checkoutv1.Order {
	w.t.Helper()
	cart := w.cart(1)
	cart.Buyer = buyer
	res, err := w.replicas[0].checkout.StartCheckout(w.keyed("start/"+key), cart)
	if err != nil {
		w.t.Fatalf("start checkout: %v", err)
	}
	if _, err := w.replicas[0].payments.RecordPayment(w.keyed("pay/"+key), paid(res.GetOrder())); err != nil {
		w.t.Fatalf("record payment: %v", err)
	}
	return w.waitFor(res.GetOrder().GetId(), "completed", fulfilmentIs(checkoutv1.FulfilmentState_FULFILMENT_STATE_COMPLETED))
}

// mailTo waits for the n-th mail to an address, from 1.
func (w *harness) mailTo(server *mail.Server, address string, n int) mail.Message {
	w.t.Helper()
	var found []mail.Message
	w.until("mailed to "+address, func() bool {
		found = found[:0]
		for _, m := range server.Messages() {
			if len(m.To) == 1 && m.To[0] == address {
				found = append(found, m)
			}
		}
		return len(found) >= n
	})
	return found[n-1]
}

// TestMailAddresses has one rule for checkout and mailer: what is taken is sent.
func TestMailAddresses(t *testing.T) {
	w, server := newMailHarness(t)
	for _, sent := range []struct{ address, written string }{
		{"erika@example.test", "erika@example.test"},
		{"erika+tickets@example.test", "erika+tickets@example.test"},
		// Mobile carriers gave these out; the local part is quoted on its way (RFC 5321, section 4.1.2).
		{"taro..yamada@docomo.example", `"taro..yamada"@docomo.example`},
		{".taro.@docomo.example", `".taro."@docomo.example`},
	} {
		w.buy(sent.address, &checkoutv1.Buyer{Name: "Erika Beispiel", Email: sent.address, Language: "de"})
		m := w.mailTo(server, sent.address, 1)
		if got := m.Header["To"]; len(got) != 1 || got[0] != "<"+sent.written+">" {
			t.Errorf("the mail to %s is addressed to %v", sent.address, got)
		}
	}
	for _, refused := range []string{
		"erika", "erika@", "@example.test", "erika@exa mple.test", "erika@-example.test", "Erika <erika@example.test>",
		"erika@example.test, otto@example.test", "erika@example.test\r\nBcc: otto@example.test",
		"a23456789012345678901234567890123456789012345678901234567890123456@example.test", // more than 64 bytes before the @
	} {
		cart := w.cart(1)
		cart.Buyer.Email = refused
		_, err := w.replicas[0].checkout.StartCheckout(w.keyed("refused"), cart)
		if problem.Code(err) != connect.CodeInvalidArgument {
			t.Errorf("%q: %v", refused, err)
		}
	}
}

// TestNoPersonalDataInErrors has a mail server that refuses a recipient and repeats the address, as most do: neither log,
// job, dead letter nor posted alert has it.
func TestNoPersonalDataInErrors(t *testing.T) {
	const local, name = "secret.fan", "Erika Geheim"
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := smtp.NewServer(smtp.BackendFunc(func(*smtp.Conn) (smtp.Session, error) { return repeating{}, nil }))
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(func() { _ = server.Close() })
	w := newHarness(t, func(c *checkoutsvc.Config) { c.SMTP.Address = listener.Addr().String() })
	o := w.buy("refused", &checkoutv1.Buyer{Name: name, Email: local + "@example.test"})

	w.until("tried to mail", func() bool {
		return w.count(`select count(*) from river_job where kind = 'send_receipt' and errors is not null`) == 1
	})
	w.until("a dead letter", func() bool {
		w.exec(`update river_job set max_attempts = greatest(attempt, 1), scheduled_at = now() where kind = 'send_receipt'`)
		return w.count(`select count(*) from dead_letters`) == 1 && w.openAlerts("dead_job") == 1
	})
	for _, table := range []string{"river_job", "dead_letters", "alerts", "review_cases"} {
		for _, personal := range []string{local, name} {
			if n := w.count(`select count(*) from `+table+` as row where row::text ilike '%' || $1 || '%'`, personal); n != 0 {
				t.Errorf("%d rows of %s hold %q", n, table, personal)
			}
		}
	}
	if w.count(`select count(*) from dead_letters where error like '%recipient%450 4.2.1%' and args->>'order_id' = $1`, o.GetId()) != 1 {
		t.Error("the dead letter does not name class, code and order")
	}
	for line := range strings.Lines(w.log.String()) {
		if strings.Contains(line, local) || strings.Contains(line, name) {
			t.Errorf("a log line holds personal data: %s", line)
		}
	}
}

// repeating refuses every recipient and repeats it.
type repeating struct{}

func (repeating) Mail(string, *smtp.MailOptions) error { return nil }
func (repeating) Rcpt(to string, _ *smtp.RcptOptions) error {
	return &smtp.SMTPError{Code: 450, EnhancedCode: smtp.EnhancedCode{4, 2, 1}, Message: "<" + to + "> is busy"}
}
func (repeating) Data(io.Reader) error { return nil }
func (repeating) Reset()               {}
func (repeating) Logout() error        { return nil }

// TestOneLineNames refuses what would write lines of its own, or text in another order, into our mails.
func TestOneLineNames(t *testing.T) {
	w := newHarness(t)
	for what, character := range map[string]string{
		"line feed": "\n", "carriage return": "\r", "tab": "\t", "escape": "\x1b", "null": "\x00", "next line": "\u0085", "line separator": "\u2028",
		"paragraph separator": "\u2029", "override": "\u202e", "embedding": "\u202a", "isolate": "\u2066",
	} {
		cart := w.cart(1)
		cart.Buyer.Name = "Erika" + character + "Your account is locked: https://evil.example"
		_, err := w.replicas[0].checkout.StartCheckout(w.keyed("name/"+what), cart)
		if problem.Code(err) != connect.CodeInvalidArgument || !strings.Contains(fmt.Sprint(problem.Fields(err)), "buyer.name") {
			t.Errorf("a buyer's name with a %s: %v", what, err)
		}
		event := &checkoutv1.CreateEventRequest{
			OrganizerId: organizerID, OrganizerName: "Musikhaus", Name: "Nacht" + character + "konzert",
			Venue:     &checkoutv1.Venue{Name: "Halle" + character, Address: "Berlin" + character, TimeZone: "Europe/Berlin"},
			StartTime: w.event.GetStartTime(), EndTime: w.event.GetEndTime(),
		}
		_, err = w.replicas[0].catalog.CreateEvent(w.keyed("event/"+what), event)
		for _, field := range []string{"name", "venue.name", "venue.address"} {
			if problem.Code(err) != connect.CodeInvalidArgument || !strings.Contains(fmt.Sprint(problem.Fields(err)), field) {
				t.Errorf("an event whose %s has a %s: %v", field, what, err)
			}
		}
	}
	cart := w.cart(1)
	cart.Buyer.Name = "Żółć بثينة O’Neil 李 👩‍👩‍👧"
	if _, err := w.replicas[0].checkout.StartCheckout(w.keyed("name/fine"), cart); err != nil {
		t.Errorf("a name of letters: %v", err)
	}
}

// TestMailLanguage has the receipt in the buyer's language: subject, text, HTML, date and amounts.
func TestMailLanguage(t *testing.T) {
	w, server := newMailHarness(t)
	for tag, want := range map[string][]string{
		"de":    {"Deine Tickets für Nachtkonzert", "Hallo Erika Beispiel", "Montag, 1. März 2027, 20:00 Uhr (CET)", "89,00 EUR", "Summe", "Bestellung"},
		"de-AT": {"Deine Tickets für Nachtkonzert", "Hallo Erika Beispiel", "Montag, 1. März 2027, 20:00 Uhr (CET)", "89,00 EUR", "Summe", "Bestellung"},
		"en":    {"Your tickets for Nachtkonzert", "Hello Erika Beispiel", "Monday, 1 March 2027, 20:00 CET", "89.00 EUR", "Total", "Order"},
		"":      {"Your tickets for Nachtkonzert", "Hello Erika Beispiel", "Monday, 1 March 2027, 20:00 CET", "89.00 EUR", "Total", "Order"},
		"ja":    {"Your tickets for Nachtkonzert", "Hello Erika Beispiel", "Monday, 1 March 2027, 20:00 CET", "89.00 EUR", "Total", "Order"},
		"es":    {"Tus entradas para Nachtkonzert", "Hola, Erika Beispiel", "lunes, 1 de marzo de 2027, 20:00 (CET)", "89,00 EUR", "Total", "Pedido"},
		"fr":    {"Vos billets pour Nachtkonzert", "Bonjour Erika Beispiel", "lundi 1er mars 2027 à 20:00 (CET)", "89,00 EUR", "Total", "Commande"},
		"it":    {"I tuoi biglietti per Nachtkonzert", "Ciao Erika Beispiel", "lunedì 1 marzo 2027, ore 20:00 (CET)", "89,00 EUR", "Totale", "Ordine"},
		"nl":    {"Je tickets voor Nachtkonzert", "Hallo Erika Beispiel", "maandag 1 maart 2027 om 20:00 uur (CET)", "89,00 EUR", "Totaal", "Bestelling"},
	} {
		address := "erika-" + tag + "@example.test"
		w.buy("language/"+tag, &checkoutv1.Buyer{Name: "Erika Beispiel", Email: address, Language: tag})
		m := w.mailTo(server, address, 1)
		if m.Subject != want[0] {
			t.Errorf("%q: the subject is %q, want %q", tag, m.Subject, want[0])
		}
		for _, body := range []string{m.Text, html.UnescapeString(m.HTML)} {
			for _, text := range want[1:] {
				if !strings.Contains(strings.ReplaceAll(body, "\u00a0", " "), text) {
					t.Errorf("%q: the mail lacks %q:\n%s", tag, text, body)
				}
			}
		}
		if language := locale.Nearest(tag); !strings.Contains(m.HTML, `lang="`+language+`"`) || strings.Join(m.Header["Content-Language"], "") != language {
			t.Errorf("%q: the mail says it is in another language: %v", tag, m.Header)
		}
	}
}

// TestTimeZones refuses names that mean something on some machines only.
func TestTimeZones(t *testing.T) {
	w := newHarness(t)
	for name, ok := range map[string]bool{"Europe/Berlin": true, "UTC": true, "localtime": false, "Local": false, "posixrules": false, "posix/Europe/Berlin": false, "Europe": false} {
		_, err := w.replicas[0].catalog.CreateEvent(w.keyed("zone/"+name), &checkoutv1.CreateEventRequest{
			OrganizerId: organizerID, OrganizerName: "Musikhaus", Name: "Nachtkonzert", Venue: &checkoutv1.Venue{Name: "Halle", TimeZone: name},
			StartTime: w.event.GetStartTime(), EndTime: w.event.GetEndTime(),
		})
		if (err == nil) != ok || !ok && !strings.Contains(fmt.Sprint(problem.Fields(err)), "venue.time_zone") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestResendReceipt mails the receipt again when staff ask, once per key and under an id of its own.
func TestResendReceipt(t *testing.T) {
	w, server := newMailHarness(t)
	const address = "erika@example.test"
	o := w.buy("resent", &checkoutv1.Buyer{Name: "Erika", Email: address})
	first := w.mailTo(server, address, 1)
	for range 2 {
		if _, err := w.replicas[0].orders.ResendReceipt(w.keyed("resend"), &checkoutv1.ResendReceiptRequest{OrderId: o.GetId()}); err != nil {
			t.Fatal(err)
		}
	}
	second := w.mailTo(server, address, 2)
	if first.Subject != second.Subject || slices.Equal(first.Header["Message-Id"], second.Header["Message-Id"]) {
		t.Errorf("%q %v, then %q %v", first.Subject, first.Header["Message-Id"], second.Subject, second.Header["Message-Id"])
	}
	w.idle("send_receipt")
	if n := len(server.Messages()); n != 2 {
		t.Errorf("%d mails, want 2", n)
	}
	unpaid := w.start("unpaid", 1).GetOrder()
	_, err := w.replicas[0].orders.ResendReceipt(w.keyed("unpaid"), &checkoutv1.ResendReceiptRequest{OrderId: unpaid.GetId()})
	wantProblem(t, err, connect.CodeFailedPrecondition, "ORDER_NOT_COMPLETED")
	_, err = w.replicas[0].orders.ResendReceipt(w.keyed("none"), &checkoutv1.ResendReceiptRequest{OrderId: "noSuchOrder0000000000"})
	wantProblem(t, err, connect.CodeNotFound, "ORDER_NOT_FOUND")
}

// TestListOrdersByBuyer finds orders by what staff know of a buyer.
func TestListOrdersByBuyer(t *testing.T) {
	w := newHarness(t)
	o := w.buy("one", &checkoutv1.Buyer{Name: "Erika Beispiel", Email: "erika@example.test"})
	w.buy("two", &checkoutv1.Buyer{Name: "Otto 100%", Email: "otto@example.test"})
	for buyer, want := range map[string]int{"": 2, "ERIKA": 1, "beispiel": 1, "@EXAMPLE.test": 2, "100%": 1, "%": 1, "_": 0, "nobody": 0} {
		res, err := w.replicas[0].orders.ListOrders(t.Context(), &checkoutv1.ListOrdersRequest{Buyer: buyer})
		if err != nil || len(res.GetOrders()) != want {
			t.Errorf("%q: %d orders, %v; want %d", buyer, len(res.GetOrders()), err, want)
		}
	}
	res, err := w.replicas[0].orders.RetryOrder(w.keyed("retry"), &checkoutv1.RetryOrderRequest{OrderId: o.GetId()})
	if err != nil || res.GetRetried() || res.GetOrder().GetId() != o.GetId() {
		t.Errorf("a complete order is retried: %v, %v", res, err)
	}
}

// TestRetryOrder attempts an order at once that waits for hours.
func TestRetryOrder(t *testing.T) {
	w := newHarness(t, func(c *checkoutsvc.Config) { c.BackoffMin, c.BackoffMax = time.Hour, time.Hour })
	w.ledger.fail(func(context.Context, string) error { return errLedgerAway })
	s := w.start("waits", 1)
	w.confirm(s.GetPaymentIntentId())
	if _, err := w.replicas[0].payments.RecordPayment(w.keyed("evt"), paid(s.GetOrder())); err != nil {
		t.Fatal(err)
	}
	id := s.GetOrder().GetId()
	w.until("failed", func() bool {
		return w.count("select count(*) from orders where id = $1 and last_error <> '' and next_attempt_time > now() + interval '10 minutes'", id) == 1
	})
	// While an attempt is under way, which looks for the ledger's return, there is nothing to repeat.
	tries := 0
	w.until("retried", func() bool {
		tries++
		res, err := w.replicas[0].orders.RetryOrder(w.keyed(fmt.Sprintf("retry%d", tries)), &checkoutv1.RetryOrderRequest{OrderId: id})
		if err != nil {
			t.Fatal(err)
		}
		return res.GetRetried()
	})
	w.ledger.fail(nil)
	w.waitFor(id, "completed", fulfilmentIs(checkoutv1.FulfilmentState_FULFILMENT_STATE_COMPLETED))
}
