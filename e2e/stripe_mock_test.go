//go:build tools

package e2e

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/dayof/dayof/devenv/client"
	"github.com/dayof/dayof/devenv/scenario"
	"github.com/dayof/dayof/e2e/e2etest"
	checkoutv1 "github.com/dayof/dayof/gen/dayof/checkout/v1"
	"github.com/dayof/dayof/internal/chassis/clock"
	"github.com/dayof/dayof/internal/server"
)

// TestStripeCallsByTools holds every call that our services make of Stripe against Stripe's own schema, as stripe-mock has it:
// no path that it does not know, no parameter that it refuses. The sandbox is ours and could share an error of the services.
//
// It checks the calls of a sale, a refund and all scenarios, and those that DAYOF_E2E_STRIPE_CALLS recorded, a file that a run
// of the other tests has written. With such a file, each call that stands in the services' source must be among them.
func TestStripeCallsByTools(t *testing.T) {
	mock := startStripeMock(t)
	calls := driveStripe(t)
	recorded := os.Getenv("DAYOF_E2E_STRIPE_CALLS")
	if recorded != "" {
		calls = append(calls, readStripeCalls(t, recorded)...)
	}
	counts := map[string]int{}
	refused := map[string]bool{}
	for _, c := range calls {
		shape := shapeOf(c)
		counts[shape]++
		if refused[shape] {
			continue // reported once
		}
		if answer := mock.send(t, c); answer != "" {
			refused[shape] = true
			t.Errorf("%s %s %s: %s", c.Method, c.Path, c.Params.Encode(), answer)
		}
	}
	for _, shape := range slices.Sorted(maps.Keys(counts)) {
		t.Logf("%6d %s", counts[shape], shape)
	}
	if recorded == "" {
		return
	}
	for _, s := range sourceCalls(t) {
		if !slices.ContainsFunc(calls, s.made) {
			t.Errorf("%s calls %s %s, and no test does: nobody knows whether Stripe takes it", s.where, s.method, s.path)
		}
	}
}

// index of a list in the name of a parameter, and ids in paths: Stripe's begin with a short prefix, and hold digits or capitals.
var (
	listIndex = regexp.MustCompile(`\[\d+\]`)
	stripeID  = regexp.MustCompile(`/[a-z]{2,8}_[A-Za-z0-9_]*[A-Z0-9][A-Za-z0-9_]*`)
)

// shape is what calls that differ in values only have in common.
func shapeOf(c e2etest.StripeCall) string {
	names := map[string]bool{}
	for name := range c.Params {
		names[listIndex.ReplaceAllString(name, "[]")] = true
	}
	account := ""
	if c.Account != "" {
		account = " as a connected account"
	}
	return c.Method + " " + stripeID.ReplaceAllString(c.Path, "/ID") + " " + strings.Join(slices.Sorted(maps.Keys(names)), " ") + account
}

// driveStripe makes the services call Stripe, and returns what they called.
func driveStripe(t *testing.T) []e2etest.StripeCall {
	t.Helper()
	m := e2etest.NewCluster(t, 1, nil)
	system := client.NewClient(m.File)
	variant := e2etest.NewVariant(t, system, 4450, 100)
	sale, err := system.Sell(e2etest.Within(t, time.Minute), client.Purchase{VariantID: variant.GetId(), Tickets: 2, Via: client.ViaBoth})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := system.Orders.RefundOrder(e2etest.Keyed(e2etest.Within(t, time.Minute)), &checkoutv1.RefundOrderRequest{OrderId: sale.OrderID}); err != nil {
		t.Fatal(err)
	}
	all, err := scenario.Load(events + "/stories.json")
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range all {
		assertScenario(t, scenario.Replay(e2etest.Within(t, 2*time.Minute), system, s, scenario.Options{Events: events, Clock: clock.System{}}))
	}
	// These leave something open that only Stripe knows, whether it does or not.
	e2etest.PostEvent(t, system, "account.updated", e2etest.Resource{
		"id": "acct_1Tools", "object": "account", "livemode": false, "metadata": e2etest.Resource{"organizer_id": "toolsOrganizer000001"},
	})
	e2etest.PostEvent(t, system, "radar.early_fraud_warning.created", e2etest.Resource{
		"id": "issfr_1Tools", "object": "radar.early_fraud_warning", "livemode": false, "charge": "ch_1Tools", "actionable": false,
	})
	e2etest.PostEvent(t, system, "application_fee.refund.updated", e2etest.Resource{"id": "fr_1Tools", "object": "fee_refund", "livemode": false, "fee": "fee_1Tools"})
	wanted := []string{"POST /v1/refunds", "GET /v1/accounts/acct_1Tools", "GET /v1/charges/ch_1Tools", "GET /v1/application_fees/fee_1Tools"}
	for ctx := e2etest.Within(t, time.Minute); ; { // jobs make these calls by and by
		calls, err := e2etest.StripeCalls(ctx, m)
		if err != nil {
			t.Fatal(err)
		}
		missing := slices.DeleteFunc(slices.Clone(wanted), func(call string) bool {
			return slices.ContainsFunc(calls, func(c e2etest.StripeCall) bool { return c.Method+" "+c.Path == call })
		})
		if len(missing) == 0 {
			return calls
		}
		if ctx.Err() != nil {
			t.Fatalf("nobody calls %v", missing)
		}
		e2etest.Pause(ctx)
	}
}

func readStripeCalls(t *testing.T, name string) []e2etest.StripeCall {
	t.Helper()
	file, err := os.Open(filepath.Clean(name))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	var calls []e2etest.StripeCall
	for lines := json.NewDecoder(file); ; {
		var c e2etest.StripeCall
		err := lines.Decode(&c)
		if errors.Is(err, io.EOF) {
			return calls
		}
		if err != nil {
			t.Fatal(err)
		}
		calls = append(calls, c)
	}
}

// stripeMock is a running stripe-mock.
type stripeMock struct{ url string }

// startStripeMock runs stripe-mock on free ports until the test ends.
func startStripeMock(t *testing.T) stripeMock {
	t.Helper()
	cmd := exec.Command(tool(t, "stripe-mock"), "-http-addr", "127.0.0.1:0", "-https-addr", "127.0.0.1:0")
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(stdout)
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // it has nothing to lose
		_ = cmd.Wait()
	})
	for lines.Scan() {
		if address, found := strings.CutPrefix(lines.Text(), "Listening for HTTP at address: "); found {
			go func() { // it waits for whoever reads its log
				for lines.Scan() {
				}
			}()
			return stripeMock{url: "http://" + address}
		}
	}
	t.Fatalf("stripe-mock ended without listening: %v", lines.Err())
	return stripeMock{}
}

// send makes a call as the services did, and returns what is wrong with it; empty if nothing is.
func (s stripeMock) send(t *testing.T, c e2etest.StripeCall) string {
	t.Helper()
	target, body := s.url+c.Path, c.Params.Encode()
	if c.Method != http.MethodPost {
		target, body = target+"?"+body, ""
	}
	req, err := http.NewRequestWithContext(e2etest.Within(t, time.Minute), c.Method, target, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer sk_test_dayof")
	if c.Method == http.MethodPost {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	if c.Account != "" {
		req.Header.Set("Stripe-Account", c.Account)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	if res.StatusCode == http.StatusOK {
		return ""
	}
	return fmt.Sprintf("%s %s", res.Status, answer)
}

// sourceCall is a call of stripe-go that stands in a service's source.
type sourceCall struct {
	where  string // file of the service
	method string
	path   string // with %s for ids
}

// made says whether a call is one of these.
func (s sourceCall) made(c e2etest.StripeCall) bool {
	pattern := "^" + strings.ReplaceAll(regexp.QuoteMeta(s.path), "%s", "[^/]+") + "$"
	return c.Method == s.method && regexp.MustCompile(pattern).MatchString(c.Path)
}

// The form of stripe-go's source: its client has a field per kind of object, and each kind a package of its own.
var (
	stripeImport = regexp.MustCompile(`(?m)^\s+(?:(\w+) )?"github\.com/stripe/stripe-go/v\d+/([\w/]+)"$`)
	stripeField  = regexp.MustCompile(`(?m)^\s+(\w+)\s+\*(\w+)\.Client$`)
	stripeMethod = regexp.MustCompile(`(?ms)^func \(c Client\) (\w+)\(.*?^}$`)
	httpMethod   = regexp.MustCompile(`http\.Method(\w+)`)
	httpPath     = regexp.MustCompile(`"(/v1/[^"]*)"`)
	anyCall      = regexp.MustCompile(`\.(\w+)\.(\w+)\(`)
)

// sourceCalls finds the calls in the services' source, and what they are on the wire in stripe-go's.
func sourceCalls(t *testing.T) []sourceCall {
	t.Helper()
	dir := strings.TrimSpace(string(output(t, "go", "list", "-m", "-f", "{{.Dir}}", "github.com/stripe/stripe-go/v76")))
	read := func(path string) string {
		text, err := os.ReadFile(filepath.Clean(path))
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	api := read(filepath.Join(dir, "client", "api.go"))
	packages := map[string]string{}
	for _, m := range stripeImport.FindAllStringSubmatch(api, -1) {
		name := m[1]
		if name == "" {
			name = filepath.Base(m[2])
		}
		packages[name] = m[2]
	}
	known := map[string]sourceCall{} // by field and method
	for _, field := range stripeField.FindAllStringSubmatch(api, -1) {
		for _, m := range stripeMethod.FindAllStringSubmatch(read(filepath.Join(dir, packages[field[2]], "client.go")), -1) {
			method, path := httpMethod.FindStringSubmatch(m[0]), httpPath.FindStringSubmatch(m[0])
			if method != nil && path != nil {
				known[field[1]+"."+m[1]] = sourceCall{method: strings.ToUpper(method[1]), path: path[1]}
			}
		}
	}
	var found []sourceCall
	for _, service := range server.Services() {
		err := filepath.WalkDir("../"+service+"svc", func(file string, _ fs.DirEntry, err error) error {
			if err != nil || !strings.HasSuffix(file, ".go") || strings.HasSuffix(file, "_test.go") {
				return err
			}
			for _, m := range anyCall.FindAllStringSubmatch(read(file), -1) {
				if c, ok := known[m[1]+"."+m[2]]; ok {
					c.where = strings.TrimPrefix(file, "../")
					found = append(found, c)
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if len(found) < 15 {
		t.Fatalf("only %d calls found in the source: the patterns are out of date", len(found))
	}
	return found
}
