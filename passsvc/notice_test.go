package passsvc_test

import (
	"html"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/dayof/dayof/devenv/pgtest"
	passv1 "github.com/dayof/dayof/gen/dayof/pass/v1"
	"github.com/dayof/dayof/internal/chassis/clock"
	"github.com/dayof/dayof/internal/chassis/config"
	"github.com/dayof/dayof/passsvc"
)

// TestWrongLinks has every link that opens nothing open a page that says what it was and whom to ask, in the reader's
// language and at the width of a phone.
func TestWrongLinks(t *testing.T) {
	t.Parallel()
	r := newService(t, func(c *passsvc.Config) { c.SupportContact = "help@dayof.example" })
	p := r.issue(t, 2)[0]
	signed := strings.TrimPrefix(p.GetDownloadUrl(), publicURL+"/t/")
	for _, path := range []string{
		"/t", "/t/", "/t/" + signed[:len(signed)/2], "/t/" + p.GetSerial(), "/t/" + signed + "/further", "/t/" + signed + "%0A",
		"/o", "/o/", "/o/" + signed, "/o/" + signed + "/tickets-1.pkpasses", "/o/x/y/z",
	} {
		for tags, want := range map[string]string{
			"de-DE,de;q=0.9,en;q=0.8": "Dieser Link führt zu keinem Ticket", "fr": "Ce lien n’ouvre aucun billet", "ja,nl;q=0.5": "Deze link opent geen ticket",
			"": "This link does not open a ticket", "en-GB,de;q=0.2": "This link does not open a ticket",
		} {
			page := r.do(t, http.MethodGet, path, "", "Accept", "text/html", "Accept-Language", tags)
			body := html.UnescapeString(page.body)
			if page.status != http.StatusNotFound || !strings.Contains(body, "<h1>"+want+"</h1>") {
				t.Errorf("%s in %q: %d\n%.300s", path, tags, page.status, body)
			}
			if !strings.Contains(body, `href="mailto:help@dayof.example"`) || !strings.Contains(body, "width=device-width") {
				t.Errorf("%s in %q: nobody to ask, or not for phones", path, tags)
			}
			if page.header.Get("Cache-Control") != "private, no-store" || page.header.Get("X-Robots-Tag") != "noindex" {
				t.Errorf("%s: %v", path, page.header)
			}
		}
	}
	program := r.do(t, http.MethodGet, "/t/"+signed[:20], "")
	if program.status != http.StatusNotFound || program.header.Get("Content-Type") != "text/plain; charset=utf-8" || !strings.Contains(program.body, "help@dayof.example") {
		t.Errorf("a program gets %d %v %s", program.status, program.header, program.body)
	}
}

// TestExpiredLinks has links end when the settings say so, and name the event and its organiser. Passes in wallets stay.
func TestExpiredLinks(t *testing.T) {
	t.Parallel()
	pool, clk := pgtest.New(t, passsvc.Migrate), clock.NewFake(testNow)
	forever := newReplica(t, pool, clk)
	expiring := newReplica(t, pool, clk, func(c *passsvc.Config) { c.LinkLifetime = 48 * time.Hour })
	c := newContent(1)
	c.Language = "de"
	res, err := expiring.client.IssuePasses(withKey(t.Context()), &passv1.IssuePassesRequest{OrderId: orderID, Passes: []*passv1.PassContent{c}})
	if err != nil {
		t.Fatal(err)
	}
	p := res.GetPasses()[0]
	order, err := expiring.OrderURL(orderID)
	if err != nil {
		t.Fatal(err)
	}
	links := []string{p.GetDownloadUrl(), p.GetDownloadUrl() + "/ticket.pkpass", order, order + "/tickets-1.pkpasses"}
	end := c.GetEvent().GetEndTime().AsTime()
	clk.Advance(end.Add(48*time.Hour - time.Second).Sub(clk.Now()))
	for _, link := range links[:3] {
		if page := expiring.browse(t, link); page.status != http.StatusOK {
			t.Errorf("%s just before its end: %d", link, page.status)
		}
	}
	clk.Advance(time.Second)
	for _, link := range links {
		page := expiring.browse(t, link)
		body := html.UnescapeString(page.body)
		if page.status != http.StatusGone || !strings.Contains(body, "abgelaufen") || !strings.Contains(body, c.GetEvent().GetName()) || !strings.Contains(body, c.GetOrganizerName()) {
			t.Errorf("%s: %d\n%s", link, page.status, body)
		}
		if strings.Contains(body, "<svg") || strings.Contains(body, p.GetSerial()) {
			t.Errorf("%s: an expired link shows the ticket", link)
		}
	}
	for _, link := range links[:3] {
		if page := forever.browse(t, link); page.status != http.StatusOK {
			t.Errorf("%s without a lifetime: %d", link, page.status)
		}
	}
	if got := expiring.do(t, http.MethodGet, passPath(p), "", applePass(p)...); got.status != http.StatusOK {
		t.Errorf("the pass in a wallet: %d", got.status)
	}
}

func TestSupportContact(t *testing.T) {
	t.Parallel()
	for contact, ok := range map[string]bool{
		"": true, "help@dayof.example": true, "https://dayof.example/help": true, "javascript:alert(1)": false, "dayof.example": false, "Help <help@dayof.example>": false,
	} {
		c := passsvc.LoadConfig(config.New(func(string) string { return "" }))
		c.TokenKeys, c.SupportContact = []config.Secret{config.NewSecret(tokenKey)}, contact
		if _, err := passsvc.New(passsvc.Deps{Config: c, Pool: pgtest.New(t, passsvc.Migrate), Clock: clock.System{}, Logger: newLogger(t)}); (err == nil) != ok {
			t.Errorf("%q: %v", contact, err)
		}
	}
}
