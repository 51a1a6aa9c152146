package cluster

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"

	"github.com/dayof/dayof/devenv/client"
	"github.com/dayof/dayof/internal/server"
)

// consoleModel is what the console's page shows.
type consoleModel struct {
	Title, About string
	Sections     []consoleSection
	Try          []consoleCommand
	status       int // 0: OK
}

type consoleCommand struct{ Command, Does string }

// alertPages are the pages that links in alerts lead to, by pattern: each says what the alert is about, links to what can be
// opened, and names the commands that go on.
func (m *Cluster) alertPages() map[string]func(r *http.Request) consoleModel {
	command := func(does, format string, args ...any) consoleCommand {
		return consoleCommand{fmt.Sprintf("dayof "+format, args...), does}
	}
	return map[string]func(r *http.Request) consoleModel{
		"/orders/{id}": m.orderPage,
		"/accounts/{id}": func(r *http.Request) consoleModel {
			return consoleModel{
				Title: "Account " + r.PathValue("id"), About: "A connected account at Stripe.",
				Try: []consoleCommand{command("lists what waits for a person", "cases"), command("lists what is wrong now", "alerts")},
			}
		},
		"/differences/{id}": func(r *http.Request) consoleModel {
			return consoleModel{
				Title: "Difference " + r.PathValue("id"), About: "Orders, ledger and Stripe do not agree.",
				Try: []consoleCommand{command("compares orders, ledger and Stripe again", "reconcile"), command("lists what is wrong now", "alerts")},
			}
		},
		"/reconciliations/{id}": func(r *http.Request) consoleModel {
			return consoleModel{
				Title: "Reconciliation " + r.PathValue("id"), About: "A comparison of orders, ledger and Stripe that did not end well.",
				Try: []consoleCommand{command("compares again", "reconcile")},
			}
		},
		"/webhooks": func(*http.Request) consoleModel {
			return consoleModel{
				Title: "Webhook events", About: "Deliveries of Stripe that were refused.",
				Sections: []consoleSection{{"Sandbox", []consoleLink{{"Stripe: deliveries", m.File.Sandbox.StripeURL + "/_sandbox/deliveries", ""}}}},
				Try:      []consoleCommand{command("lists what arrived", "webhooks list")},
			}
		},
		"/webhooks/{endpoint}/{event}": func(r *http.Request) consoleModel {
			return consoleModel{
				Title: "Webhook event " + r.PathValue("event"), About: "An event of Stripe at the endpoint " + r.PathValue("endpoint") + ".",
				Sections: []consoleSection{{"Sandbox", []consoleLink{{"Stripe: events", m.File.Sandbox.StripeURL + "/_sandbox/events", ""}}}},
				Try: []consoleCommand{
					command("shows it with the errors of its attempts", "webhooks show %s", r.PathValue("event")),
					command("works on it again", "webhooks retry %s", r.PathValue("event")),
				},
			}
		},
		"/dlq/{service}/{id}": func(r *http.Request) consoleModel {
			id := r.PathValue("service") + "/" + r.PathValue("id")
			if !slices.Contains(server.Services(), r.PathValue("service")) {
				return consoleModel{Title: "No dead letter " + id, status: http.StatusNotFound}
			}
			return consoleModel{
				Title: "Dead letter " + id, About: "A job whose tries are used up.",
				Try: []consoleCommand{
					command("shows it with the errors of its attempts", "dlq show %s", id), command("puts it back to work", "dlq retry %s", id),
				},
			}
		},
	}
}

// orderPage links to what there is of an order.
func (m *Cluster) orderPage(r *http.Request) consoleModel {
	id := r.PathValue("id")
	o, err := client.NewClient(m.File).Order(r.Context(), id)
	if err != nil {
		return consoleModel{Title: "No order " + id, About: "There is no such order, or it cannot be read now.", status: http.StatusNotFound}
	}
	about := fmt.Sprintf("Payment %s, fulfilment %s, hold %s.", o.PaymentState, o.FulfilmentState, o.HoldState)
	var tickets []consoleLink
	for _, t := range o.Tickets {
		if t.DownloadURL != "" {
			tickets = append(tickets, consoleLink{"Ticket " + t.ID, t.DownloadURL, t.State})
		}
	}
	sections := []consoleSection{{"Sandbox", []consoleLink{
		{"Mail to the buyer", m.File.Sandbox.MailLogURL + "?to=" + url.QueryEscape(o.Buyer.Email), ""}, {"Alerts", m.File.Sandbox.AlertLogURL, ""},
	}}}
	if len(tickets) > 0 {
		sections = append([]consoleSection{{"Tickets", tickets}}, sections...)
	}
	return consoleModel{
		Title: "Order " + id, About: about, Sections: sections,
		Try: []consoleCommand{
			{"dayof order show " + id, "shows its money, passes, postings and timeline"},
			{"dayof order retry " + id, "attempts to fulfil it now"},
			{"dayof jobs", "lists background jobs"},
		},
	}
}
