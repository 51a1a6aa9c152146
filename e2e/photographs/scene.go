package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/dayof/dayof/devenv/client"
	"github.com/dayof/dayof/devenv/cluster"
	"github.com/dayof/dayof/devenv/sandbox/fault"
	"github.com/dayof/dayof/devenv/sandbox/mail"
	checkoutv1 "github.com/dayof/dayof/gen/dayof/checkout/v1"
	moneyv1 "github.com/dayof/dayof/gen/dayof/money/v1"
	passv1 "github.com/dayof/dayof/gen/dayof/pass/v1"
	"github.com/dayof/dayof/internal/chassis/rpc"
)

// What is long is there to see where it breaks.
const (
	eventName = "Nachtwerk präsentiert: Donaudampfschifffahrtsgesellschaftskapellmeister & Freunde"
	buyerName = "Wolfeschlegelsteinhausenbergerdorff-Hohenlohe, Adelheid"
)

// scene plays what there is to see.
type scene struct {
	cluster *cluster.Cluster
	client  *client.Client

	event, variant string
	subjects       []subject
}

// keyed is a call with a key of its own.
func keyed(ctx context.Context) context.Context {
	return rpc.WithIdempotencyKey(ctx, client.NewKey())
}

// play makes every mail and every page.
func (s *scene) play(ctx context.Context) ([]subject, error) {
	steps := []func(context.Context) error{s.openEvent, s.reserved, s.used, s.refunded, s.disputed, s.transferred, s.givenUp, s.moved, s.canceled, s.wrongLink, s.mails}
	for _, language := range []string{"en", "de"} {
		for _, step := range steps {
			if err := step(context.WithValue(ctx, languageKey{}, language)); err != nil {
				return nil, err
			}
		}
	}
	return s.subjects, nil
}

// languageKey is the key of the language that buyers speak.
type languageKey struct{}

func languageOf(ctx context.Context) string {
	language, _ := ctx.Value(languageKey{}).(string)
	return language
}

// show adds a page as it is now: what happens later changes it.
func (s *scene) show(ctx context.Context, name, url string) error {
	page, err := s.fetch(ctx, url)
	s.subjects = append(s.subjects, subject{name: languageOf(ctx) + "-page-" + name, html: page})
	return err
}

// awaitPage shows a page once it says something.
func (s *scene) awaitPage(ctx context.Context, name, url, says string) error {
	for {
		page, err := s.fetch(ctx, url)
		if err != nil {
			return err
		}
		if strings.Contains(page, says) {
			return s.show(ctx, name, url)
		}
		if err := pause(ctx); err != nil {
			return err
		}
	}
}

// openEvent puts an event on sale.
func (s *scene) openEvent(ctx context.Context) error {
	start := time.Date(2031, 7, 4, 18, 0, 0, 0, time.UTC)
	made, err := s.client.Catalog.CreateEvent(keyed(ctx), &checkoutv1.CreateEventRequest{
		OrganizerId: "photographOrganizer1", OrganizerName: "Nachtwerk", Name: eventName,
		Venue:     &checkoutv1.Venue{Name: "Kulturzentrum Alte Kongresshalle", Address: "Am Bavariapark 14, 80339 München", TimeZone: "Europe/Berlin"},
		DoorsTime: timestamppb.New(start.Add(-time.Hour)), StartTime: timestamppb.New(start), EndTime: timestamppb.New(start.Add(4 * time.Hour)),
	})
	if err != nil {
		return fmt.Errorf("create event: %w", err)
	}
	s.event = made.GetEvent().GetId()
	variant, err := s.client.CreateVariant(ctx, client.NewKey(), s.event, "Stehplatz", "Frühbucher mit Ermäßigung", 100,
		&checkoutv1.VariantVersion{Price: &moneyv1.Money{Currency: "EUR", MinorUnits: 4450}})
	s.variant = variant.GetId()
	return err
}

// buy sells tickets to somebody; the name tells their mails apart.
func (s *scene) buy(ctx context.Context, name string, tickets int32) (client.Cart, error) {
	res, err := s.client.Checkout.StartCheckout(keyed(ctx), &checkoutv1.StartCheckoutRequest{
		EventId: s.event, Lines: []*checkoutv1.CartLine{{VariantId: s.variant, Quantity: tickets}},
		Buyer: &checkoutv1.Buyer{Name: buyerName, Email: name + "@" + languageOf(ctx) + ".example.test", Language: languageOf(ctx)},
	})
	if err != nil {
		return client.Cart{}, fmt.Errorf("start checkout: %w", err)
	}
	cart := client.Cart{
		OrderID: res.GetOrder().GetId(), AccessToken: res.GetOrderAccessToken(),
		IntentID: res.GetPaymentIntentId(), ClientSecret: res.GetPaymentClientSecret(),
	}
	return cart, s.client.Pay(ctx, cart, client.ViaBoth)
}

// sold is buy that waits for the tickets.
func (s *scene) sold(ctx context.Context, name string, tickets int32) (client.Cart, client.Sale, error) {
	cart, err := s.buy(ctx, name, tickets)
	if err != nil {
		return cart, client.Sale{}, err
	}
	sale, err := s.client.AwaitSale(ctx, cart.OrderID)
	return cart, sale, err
}

// reserved shows a ticket that the books do not have yet, and then the same one when they do.
func (s *scene) reserved(ctx context.Context) error {
	if err := s.cluster.Sandbox.Faults.Set(fault.Ledger, fault.Fault{Mode: fault.Refuse, Rate: 1}); err != nil {
		return err
	}
	cart, err := s.buy(ctx, "reserved", 2)
	if err != nil {
		return err
	}
	var links *passv1.ListPassesResponse
	for links.GetOrderDownloadUrl() == "" {
		if links, err = s.client.Passes.ListPasses(ctx, &passv1.ListPassesRequest{OrderId: cart.OrderID}); err != nil {
			return fmt.Errorf("list passes: %w", err)
		}
		if err := pause(ctx); err != nil {
			return err
		}
	}
	if err := s.show(ctx, "reserved", links.GetPasses()[0].GetDownloadUrl()); err != nil {
		return err
	}
	s.cluster.Sandbox.Faults.Clear(fault.Ledger)
	if _, err := s.client.AwaitSale(ctx, cart.OrderID); err != nil {
		return err
	}
	return errors.Join(s.show(ctx, "valid", links.GetPasses()[0].GetDownloadUrl()), s.show(ctx, "order", links.GetOrderDownloadUrl()))
}

func (s *scene) used(ctx context.Context) error {
	_, sale, err := s.sold(ctx, "used", 1)
	if err != nil {
		return err
	}
	if _, err := s.client.Admission.Admit(keyed(ctx), &checkoutv1.AdmitRequest{
		Subject: &checkoutv1.AdmitRequest_Code{Code: sale.Tickets[0].Code}, Gate: "Nord",
	}); err != nil {
		return fmt.Errorf("admit: %w", err)
	}
	return s.show(ctx, "used", sale.Tickets[0].DownloadURL)
}

func (s *scene) refunded(ctx context.Context) error {
	_, sale, err := s.sold(ctx, "refunded", 2)
	if err != nil {
		return err
	}
	if _, err := s.client.Orders.RefundOrder(keyed(ctx), &checkoutv1.RefundOrderRequest{OrderId: sale.OrderID, TicketIds: []string{sale.Tickets[0].ID}}); err != nil {
		return fmt.Errorf("refund: %w", err)
	}
	return s.awaitPage(ctx, "void", sale.Tickets[0].DownloadURL, "notice void")
}

func (s *scene) disputed(ctx context.Context) error {
	cart, sale, err := s.sold(ctx, "disputed", 1)
	if err != nil {
		return err
	}
	if _, err := s.client.Stripe.Control(ctx, http.MethodPost, "/_sandbox/disputes", map[string]any{"payment_intent": cart.IntentID}); err != nil {
		return err
	}
	return s.awaitPage(ctx, "suspended", sale.Tickets[0].DownloadURL, "notice hold")
}

// transferred offers one ticket that is taken, and one that is not.
func (s *scene) transferred(ctx context.Context) error {
	cart, sale, err := s.sold(ctx, "sender", 2)
	if err != nil {
		return err
	}
	for i, name := range []string{"recipient", "nobody"} {
		offered, err := s.client.Tickets.TransferTicket(keyed(ctx), &checkoutv1.TransferTicketRequest{
			OrderId: cart.OrderID, TicketId: sale.Tickets[i].ID, RecipientName: "Zenobia", RecipientEmail: name + "@" + languageOf(ctx) + ".example.test", Language: languageOf(ctx),
		})
		if err != nil {
			return fmt.Errorf("transfer: %w", err)
		}
		id := offered.GetTransfer().GetId()
		if err := s.awaitMail(ctx, name); err != nil { // else nobody is told of what was answered already
			return err
		}
		if name == "recipient" {
			_, err = s.client.Tickets.AcceptTransfer(keyed(ctx), &checkoutv1.AcceptTransferRequest{TransferId: id})
		} else {
			_, err = s.client.Tickets.DeclineTransfer(keyed(ctx), &checkoutv1.DeclineTransferRequest{TransferId: id})
		}
		if err != nil {
			return fmt.Errorf("answer the transfer: %w", err)
		}
	}
	return nil
}

// awaitMail waits until somebody has a mail.
func (s *scene) awaitMail(ctx context.Context, name string) error {
	for {
		messages, err := s.messages(ctx, "?to="+name+"@"+languageOf(ctx)+".example.test")
		if err != nil || len(messages) > 0 {
			return err
		}
		if err := pause(ctx); err != nil {
			return err
		}
	}
}

// givenUp pays for tickets that nobody can issue.
func (s *scene) givenUp(ctx context.Context) error {
	if err := s.cluster.Sandbox.Faults.Set(fault.Ledger, fault.Fault{Mode: fault.Refuse, Rate: 1}); err != nil {
		return err
	}
	defer s.cluster.Sandbox.Faults.Clear(fault.Ledger)
	cart, err := s.buy(ctx, "unlucky", 1)
	if err != nil {
		return err
	}
	_, err = s.client.Await(ctx, cart.OrderID, func(o *checkoutv1.Order) bool {
		return o.GetFulfilmentState() == checkoutv1.FulfilmentState_FULFILMENT_STATE_UNFULFILLABLE
	})
	return err
}

func (s *scene) moved(ctx context.Context) error {
	req := &checkoutv1.MoveEventRequest{EventId: s.event, StartTime: timestamppb.New(time.Date(2031, 7, 11, 18, 0, 0, 0, time.UTC)), Preview: true}
	seen, err := s.client.Events.MoveEvent(keyed(ctx), req)
	if err != nil {
		return fmt.Errorf("preview the move: %w", err)
	}
	req.Preview, req.ConfirmationToken = false, seen.GetPreview().GetConfirmationToken()
	res, err := s.client.Events.MoveEvent(keyed(ctx), req)
	if err != nil {
		return fmt.Errorf("move: %w", err)
	}
	return s.awaitOperation(ctx, res.GetOperation().GetId())
}

func (s *scene) canceled(ctx context.Context) error {
	seen, err := s.client.Events.CancelEvent(keyed(ctx), &checkoutv1.CancelEventRequest{EventId: s.event, Preview: true})
	if err != nil {
		return fmt.Errorf("preview the cancellation: %w", err)
	}
	res, err := s.client.Events.CancelEvent(keyed(ctx), &checkoutv1.CancelEventRequest{
		EventId: s.event, ConfirmationToken: seen.GetPreview().GetConfirmationToken(),
	})
	if err != nil {
		return fmt.Errorf("cancel: %w", err)
	}
	return s.awaitOperation(ctx, res.GetOperation().GetId())
}

func (s *scene) awaitOperation(ctx context.Context, id string) error {
	for {
		res, err := s.client.Events.GetEventOperation(ctx, &checkoutv1.GetEventOperationRequest{EventOperationId: id})
		if err != nil {
			return fmt.Errorf("get operation: %w", err)
		}
		if res.GetOperation().GetFinishTime() != nil {
			return nil
		}
		if err := pause(ctx); err != nil {
			return err
		}
	}
}

func (s *scene) wrongLink(ctx context.Context) error {
	return s.show(ctx, "wrong-link", s.cluster.File.PassURL+"/t/nonsense")
}

var mailName = regexp.MustCompile(`^<?([a-z_]+)\.`)

// mails shows one of each kind and recipient, once no more come.
func (s *scene) mails(ctx context.Context) error {
	var messages []mail.Message
	for quiet, before := 0, -1; quiet < 20; before = len(messages) {
		if err := pause(ctx); err != nil {
			return err
		}
		var err error
		if messages, err = s.messages(ctx, ""); err != nil {
			return err
		}
		if quiet++; len(messages) != before {
			quiet = 0
		}
	}
	seen := map[string]bool{}
	for _, m := range messages {
		who, _, ours := strings.Cut(m.To[0], "@"+languageOf(ctx)+".")
		if !ours || len(m.Header["Message-Id"]) == 0 {
			continue
		}
		kind := mailName.FindStringSubmatch(m.Header["Message-Id"][0])
		if kind == nil {
			return errors.New("a mail whose id has no kind: " + m.Header["Message-Id"][0])
		}
		// One of each kind, and who it is for where that changes what it says.
		if name := languageOf(ctx) + "-mail-" + kind[1] + "-" + who; !seen[m.Subject+kind[1]] {
			seen[m.Subject+kind[1]] = true
			s.subjects = append(s.subjects, subject{name: name, html: m.HTML})
		}
	}
	return nil
}

// messages reads the log of mails.
func (s *scene) messages(ctx context.Context, query string) (messages []mail.Message, err error) {
	text, err := s.fetch(ctx, s.cluster.File.Sandbox.MailLogURL+query)
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal([]byte(text), &messages); err != nil {
		return nil, fmt.Errorf("read the mails: %w", err)
	}
	return messages, nil
}

// pollEvery is how often something is looked at that is waited for.
const pollEvery = 100 * time.Millisecond

func pause(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(pollEvery):
		return nil
	}
}

// fetch reads a page as a browser does.
func (s *scene) fetch(ctx context.Context, url string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	req.Header.Set("Accept", "text/html")
	req.Header.Set("Accept-Language", languageOf(ctx))
	res, err := s.client.HTTP.Do(req)
	if err != nil {
		return "", err
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	return string(text), err
}
