package passsvc_test

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"html"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	passv1 "github.com/dayof/dayof/gen/dayof/pass/v1"
	"github.com/dayof/dayof/internal/chassis/config"
	"github.com/dayof/dayof/passsvc"
)

const publicURL = "https://pass.example"

// browse opens a page as a browser does.
func (r *replica) browse(tb testing.TB, address string) answer {
	tb.Helper()
	return r.do(tb, http.MethodGet, strings.TrimPrefix(address, publicURL), "", "Accept", "text/html,application/xhtml+xml,*/*;q=0.8")
}

// links returns the targets of links on a page, as a browser resolves them.
func links(page answer) []string {
	var all []string
	for _, match := range regexp.MustCompile(`href="([^"]*)"`).FindAllStringSubmatch(page.body, -1) {
		all = append(all, strings.Replace(html.UnescapeString(match[1]), "../", publicURL+"/", 1))
	}
	return all
}

func TestTicketPage(t *testing.T) {
	t.Parallel()
	r := newService(t)
	c := newContent(1)
	c.HolderName, c.Event.Name, c.Language = `<script>alert("x")</script>`, `Night & "Day"`, "de"
	res, err := r.client.IssuePasses(withKey(t.Context()), &passv1.IssuePassesRequest{OrderId: orderID, Passes: []*passv1.PassContent{c}})
	if err != nil {
		t.Fatal(err)
	}
	p := res.GetPasses()[0]

	page := r.browse(t, p.GetDownloadUrl())
	if page.status != http.StatusOK || page.header.Get("Content-Type") != "text/html; charset=utf-8" {
		t.Fatalf("%d %v", page.status, page.header)
	}
	for name, want := range map[string]string{
		"Cache-Control": "private, no-store", "X-Robots-Tag": "noindex", "Referrer-Policy": "no-referrer", "X-Content-Type-Options": "nosniff",
	} {
		if got := page.header.Get(name); got != want {
			t.Errorf("%s: %q", name, got)
		}
	}
	for _, want := range []string{
		`<html lang="de">`, "Night &amp; &#34;Day&#34;", "18.06.2027, 20:30", "<dd>19:00</dd>", "Zu Apple Wallet hinzufügen", "&lt;script&gt;", "<svg ", ticketID(1),
	} {
		if !strings.Contains(page.body, want) {
			t.Errorf("the page lacks %s", want)
		}
	}
	if strings.Contains(page.body, "<script") || strings.Contains(page.body, "Google") || strings.Contains(page.body, p.GetAuthenticationToken()) {
		t.Error("the page holds what it should not")
	}

	target := links(page)
	if len(target) != 1 {
		t.Fatalf("links %v", target)
	}
	for _, address := range []string{target[0], p.GetDownloadUrl()} { // programs get the pass at the link itself
		got := r.do(t, http.MethodGet, strings.TrimPrefix(address, publicURL), "")
		if got.status != http.StatusOK || got.header.Get("Content-Type") != "application/vnd.apple.pkpass" ||
			got.header.Get("Cache-Control") != "private, no-store" || got.body != r.fetch(t, p).body {
			t.Errorf("%s: %d %v", address, got.status, got.header)
		}
	}

	signed := strings.TrimPrefix(p.GetDownloadUrl(), publicURL+"/t/")
	for name, path := range map[string]string{
		"another mac":        "/t/" + signed[:len(signed)-1] + "_",
		"no mac":             "/t/" + p.GetSerial(),
		"the device's token": "/t/" + p.GetSerial() + "." + p.GetAuthenticationToken(),
		"as an order":        "/o/" + signed,
		"another serial":     "/t/AAAAAAAAAAAAAAAAAAAAA" + signed[21:],
	} {
		if got := r.browse(t, path); got.status != http.StatusNotFound {
			t.Errorf("%s: %d", name, got.status)
		}
	}

	if _, err := r.client.VoidPass(withKey(t.Context()), &passv1.VoidPassRequest{PassSerial: p.GetSerial()}); err != nil {
		t.Fatal(err)
	}
	void := r.browse(t, p.GetDownloadUrl())
	if void.status != http.StatusOK || !strings.Contains(void.body, "ungültig") || strings.Contains(void.body, "<svg ") || len(links(void)) > 0 {
		t.Errorf("a void ticket: %d", void.status)
	}
}

func TestOrderPage(t *testing.T) {
	t.Parallel()
	r := newService(t)
	passes := r.issue(t, 23)
	if _, err := r.client.VoidPass(withKey(t.Context()), &passv1.VoidPassRequest{PassSerial: passes[4].GetSerial()}); err != nil {
		t.Fatal(err)
	}
	address, err := r.OrderURL(orderID)
	if err != nil {
		t.Fatal(err)
	}
	list, err := r.client.ListPasses(t.Context(), &passv1.ListPassesRequest{OrderId: orderID})
	if err != nil || list.GetOrderDownloadUrl() != address {
		t.Errorf("link %q, %v, want %q", list.GetOrderDownloadUrl(), err, address)
	}
	page := r.browse(t, address)
	if page.status != http.StatusOK || strings.Count(page.body, "<article") != 23 || strings.Count(page.body, "<svg ") != 22 {
		t.Fatalf("%d, %d tickets", page.status, strings.Count(page.body, "<article"))
	}
	var inBundles []int
	for _, link := range links(page) {
		if !strings.HasSuffix(link, ".pkpasses") {
			continue
		}
		got := r.browse(t, link)
		if got.status != http.StatusOK || got.header.Get("Content-Type") != "application/vnd.apple.pkpasses" {
			t.Errorf("%s: %d %v", link, got.status, got.header)
			continue
		}
		files := readPass(t, got.body)
		inBundles = append(inBundles, len(files))
		for name, pass := range files {
			if readPass(t, pass)["pass.json"] == "" || !strings.HasSuffix(name, ".pkpass") {
				t.Errorf("%s in %s is no pass", name, link)
			}
		}
	}
	if !slices.Equal(inBundles, []int{10, 10, 2}) {
		t.Errorf("bundles of %v", inBundles)
	}
	for _, path := range []string{"/tickets-4.pkpasses", "/tickets-0.pkpasses", "/tickets-01.pkpasses", "/tickets-x.pkpasses", "/other"} {
		if got := r.browse(t, address+path); got.status != http.StatusNotFound {
			t.Errorf("%s: %d", path, got.status)
		}
	}
	single := newService(t)
	single.issue(t, 1)
	if page := single.browse(t, address); strings.Contains(page.body, ".pkpasses") || page.status != http.StatusOK {
		t.Errorf("one ticket needs no bundle: %d", page.status)
	}
	empty := newService(t)
	if page := empty.browse(t, address); page.status != http.StatusNotFound {
		t.Errorf("an order without passes: %d", page.status)
	}
}

func TestAppleBadge(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "en.svg"), []byte("<svg/>"), 0o600); err != nil {
		t.Fatal(err)
	}
	r := newService(t, func(c *passsvc.Config) { c.BadgeDir = dir })
	page := r.browse(t, r.issue(t, 1)[0].GetDownloadUrl())
	if !strings.Contains(page.body, `<img alt="Add to Apple Wallet" src="data:image/svg&#43;xml;base64,PHN2Zy8&#43;">`) &&
		!strings.Contains(page.body, `<img alt="Add to Apple Wallet" src="data:image/svg+xml;base64,PHN2Zy8+">`) {
		t.Error(page.body)
	}
}

func TestGoogleWallet(t *testing.T) {
	t.Parallel()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	account, err := json.Marshal(map[string]string{
		"client_email": "wallet@example.iam.gserviceaccount.com",
		"private_key":  string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})),
	})
	if err != nil {
		t.Fatal(err)
	}
	r := newService(t, func(c *passsvc.Config) {
		c.Google = passsvc.GoogleConfig{ServiceAccount: config.NewSecret(string(account)), IssuerID: "3388000000012345678"}
	})
	for name, edit := range map[string]func(c *passv1.PassContent){
		"usual": func(*passv1.PassContent) {},
		"long": func(c *passv1.PassContent) {
			c.HolderName, c.Event.VenueAddress, c.Code = strings.Repeat("ü", 120), strings.Repeat("a", 300), strings.Repeat("C", 250)
		},
	} {
		c := newContent(len(name))
		edit(c)
		res, err := r.client.IssuePasses(withKey(t.Context()), &passv1.IssuePassesRequest{OrderId: orderID, Passes: []*passv1.PassContent{c}})
		if err != nil {
			t.Fatal(err)
		}
		var link string
		for _, target := range links(r.browse(t, res.GetPasses()[0].GetDownloadUrl())) {
			if strings.HasPrefix(target, "https://pay.google.com/gp/v/save/") {
				link = target
			}
		}
		if link == "" || len(link) > 1800 {
			t.Fatalf("%s: link of %d characters", name, len(link))
		}
		claims := openJWT(t, strings.TrimPrefix(link, "https://pay.google.com/gp/v/save/"), &key.PublicKey)
		payload := fmt.Sprint(claims["payload"])
		if claims["aud"] != "google" || claims["typ"] != "savetowallet" || claims["iss"] != "wallet@example.iam.gserviceaccount.com" ||
			fmt.Sprint(claims["origins"]) != "["+publicURL+"]" ||
			!strings.Contains(payload, c.GetCode()) || !strings.Contains(payload, "classId:3388000000012345678."+eventID) {
			t.Errorf("%s: %v", name, claims)
		}
	}
	// What fits into no link gets none.
	c := newContent(9)
	c.Code = strings.Repeat("C", 500)
	c.Event.Name, c.OrganizerName = strings.Repeat("深", 120), strings.Repeat("深", 120)
	res, err := r.client.IssuePasses(withKey(t.Context()), &passv1.IssuePassesRequest{OrderId: orderID, Passes: []*passv1.PassContent{c}})
	if err != nil {
		t.Fatal(err)
	}
	if page := r.browse(t, res.GetPasses()[0].GetDownloadUrl()); page.status != http.StatusOK || strings.Contains(page.body, "google") {
		t.Errorf("%d", page.status)
	}
}

// openJWT verifies a token with RS256 and returns its claims.
func openJWT(tb testing.TB, token string, key *rsa.PublicKey) map[string]any {
	tb.Helper()
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		tb.Fatalf("%d parts", len(parts))
	}
	decoded := make([][]byte, 3)
	for i, part := range parts {
		var err error
		if decoded[i], err = base64.RawURLEncoding.DecodeString(part); err != nil {
			tb.Fatal(err)
		}
	}
	sum := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
	if err := rsa.VerifyPKCS1v15(key, crypto.SHA256, sum[:], decoded[2]); err != nil {
		tb.Fatal(err)
	}
	var claims map[string]any
	if err := json.Unmarshal(decoded[1], &claims); err != nil {
		tb.Fatal(err)
	}
	return claims
}
