package cluster

import (
	"context"
	"errors"
	"fmt"
	"html/template"
	"log/slog"
	"net/http"
	"time"

	"github.com/jackc/pgx/v5"
)

// consolePage links to what runs.
const consolePage = `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><title>{{.Title}}</title>
<style>
body{font:16px/1.5 system-ui,sans-serif;max-width:48rem;margin:3rem auto;padding:0 1rem;color:#1d1d1f}
h1{margin-bottom:0}p.sub{margin-top:0;color:#6e6e73}
table{border-collapse:collapse;width:100%}td{border-top:1px solid #d2d2d7;padding:.4rem .8rem .4rem 0;vertical-align:top}
td:first-child{color:#6e6e73}td a{overflow-wrap:anywhere}code{background:#f5f5f7;padding:.1rem .3rem;border-radius:.3rem}
</style></head><body>
<h1>{{.Title}}</h1><p class="sub">{{.About}}</p>
{{range .Sections}}<h2>{{.Title}}</h2><table>{{range .Links}}<tr><td>{{.Name}}</td><td><a href="{{.URL}}">{{.URL}}</a>{{with .Note}} <span>{{.}}</span>{{end}}</td></tr>{{end}}</table>{{end}}
<h2>Try</h2>
<table>{{range .Try}}<tr><td><code>{{.Command}}</code></td><td>{{.Does}}</td></tr>{{end}}</table>
</body></html>
`

type consoleSection struct {
	Title string
	Links []consoleLink
}

type consoleLink struct{ Name, URL, Note string }

// consoleHandler shows the page of links.
func (m *Cluster) consoleHandler() http.Handler {
	page := template.Must(template.New("console").Parse(consolePage))
	f := m.File
	sections := []consoleSection{
		{"Services", []consoleLink{
			{"checkout", f.CheckoutURL + "/healthz", "catalogue, orders, admission"},
			{"pass", f.PassURL + "/healthz", "wallet passes"},
			{"ledger", f.LedgerURL + "/healthz", "the books"},
			{"webhook", f.WebhookURL + "/healthz", "Stripe's webhooks"},
		}},
		{"Metrics", []consoleLink{
			{"checkout", f.MetricsURLs["checkout"], ""},
			{"pass", f.MetricsURLs["pass"], ""},
			{"ledger", f.MetricsURLs["ledger"], ""},
			{"webhook", f.MetricsURLs["webhook"], ""},
		}},
		{"Sandbox", []consoleLink{
			{"Stripe: events", f.Sandbox.StripeURL + "/_sandbox/events", ""},
			{"Stripe: deliveries", f.Sandbox.StripeURL + "/_sandbox/deliveries", ""},
			{"Ledger: transactions", f.Sandbox.LedgerAPI() + "/transactions", ""},
			{"Pushes", f.Sandbox.APNsLogURL, ""},
			{"Mail", f.Sandbox.MailLogURL, ""},
			{"Alerts", f.Sandbox.AlertLogURL, ""},
			{"Faults", f.Sandbox.FaultsURL, "set them with dayof fault"},
		}},
	}
	mux := http.NewServeMux()
	show := func(w http.ResponseWriter, r *http.Request, model consoleModel) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		if model.status != 0 {
			w.WriteHeader(model.status)
		}
		if err := page.Execute(w, model); err != nil {
			m.config.Logger.LogAttrs(r.Context(), slog.LevelDebug, "console page not sent", slog.Any("error", err))
		}
	}
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) {
		show(w, r, consoleModel{
			Title: "dayof", Sections: sections,
			About: "Tickets, from the signed webhook to the wallet and the ledger. This system is for trying out.",
			Try: []consoleCommand{
				{"dayof sell", "makes a sale"}, {"dayof order show ID", "shows what happened to it"}, {"dayof check", "asks whether all is well"},
			},
		})
	})
	for pattern, describe := range m.alertPages() {
		mux.HandleFunc("GET "+pattern, func(w http.ResponseWriter, r *http.Request) { show(w, r, describe(r)) })
	}
	return mux
}

func (m *Cluster) startConsole() {
	m.console = &http.Server{Handler: m.consoleHandler(), ReadHeaderTimeout: 5 * time.Second}
	go func() {
		if err := m.console.Serve(m.listeners["console"][0]); !errors.Is(err, http.ErrServerClosed) {
			m.failed <- fmt.Errorf("console: %w", err)
		}
	}()
}

// dropDatabase removes a database of ours from a server that is not.
func (m *Cluster) dropDatabase(ctx context.Context, name string) error {
	conn, err := pgx.Connect(ctx, m.Postgres.URL("postgres"))
	if err != nil {
		return fmt.Errorf("drop database %s: %w", name, err)
	}
	_, err = conn.Exec(ctx, "DROP DATABASE IF EXISTS "+pgx.Identifier{name}.Sanitize()+" WITH (FORCE)")
	return errors.Join(err, conn.Close(ctx))
}
