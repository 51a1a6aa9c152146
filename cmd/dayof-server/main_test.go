package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/dayof/dayof/devenv/pgtest"
	"github.com/dayof/dayof/gen/dayof/pass/v1/passv1connect"
	"github.com/dayof/dayof/internal/chassis/clock"
	"github.com/dayof/dayof/internal/server"
	"github.com/dayof/dayof/passsvc/pkpass"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// testHost is a machine with nothing but these settings.
func testHost(settings map[string]string) (h host, stdout, stderr *bytes.Buffer) {
	stdout, stderr = &bytes.Buffer{}, &bytes.Buffer{}
	h = host{stdout: stdout, stderr: stderr, clock: clock.System{}, getenv: func(name string) string { return settings[name] }}
	for name, value := range settings {
		h.environ = append(h.environ, name+"="+value)
	}
	return h, stdout, stderr
}

func TestCommandLine(t *testing.T) {
	t.Parallel()
	for args, c := range map[string]struct {
		code int
		says string // on either output
	}{
		"":                {exitUsage, "name a service"},
		"-h":              {exitDone, "dayof-server all"},
		"--help":          {exitDone, "checkout|pass|ledger|webhook"},
		"--version":       {exitDone, "dayof-server "},
		"up":              {exitUsage, "no such service: up"},
		"checkout now":    {exitUsage, `unexpected argument "now"`},
		"doctor mail":     {exitUsage, "no such service: mail"},
		"doctor ledger":   {exitFailed, "DAYOF_LEDGER_DATABASE_URL: missing: it is required"},
		"migrate mail":    {exitUsage, "no such service: mail"},
		"migrate":         {exitFailed, "nothing to migrate"},
		"migrate pass":    {exitFailed, "DAYOF_PASS_DATABASE_URL (or DAYOF_PASS_DATABASE_URL_FILE) is required"},
		"pass":            {exitFailed, "DAYOF_OPERATOR_TOKEN (or DAYOF_OPERATOR_TOKEN_FILE) is required"},
		"all":             {exitFailed, "DAYOF_WEBHOOK_DATABASE_URL (or DAYOF_WEBHOOK_DATABASE_URL_FILE) is required"},
		"version further": {exitDone, "dayof-server "},
	} {
		t.Run(args, func(t *testing.T) {
			t.Parallel()
			h, stdout, stderr := testHost(nil)
			code := run(t.Context(), strings.Fields(args), h)
			if said := stdout.String() + stderr.String(); code != c.code || !strings.Contains(said, c.says) {
				t.Errorf("exit code %d, want %d with %q: %s", code, c.code, c.says, said)
			}
			if code == exitFailed && strings.Count(stderr.String(), "\n") != 1 {
				t.Errorf("not one line: %s", stderr)
			}
		})
	}
}

// settings are those of all services on databases and ports of their own.
func settings(t *testing.T) (all map[string]string, addresses []string) {
	t.Helper()
	chain, err := pkpass.NewThrowawayChain(clock.System{}.Now(), pkpass.ThrowawayOptions{PassTypeIdentifier: "pass.test", TeamIdentifier: "TEAM000001"})
	if err != nil {
		t.Fatal(err)
	}
	seed := make([]byte, 32)
	if _, err := rand.Read(seed); err != nil {
		t.Fatal(err)
	}
	const nowhere = "http://127.0.0.1:9" // nothing is sold, so that nobody is called
	all = map[string]string{
		"DAYOF_OPERATOR_TOKEN": "op_" + rand.Text() + rand.Text(), "DAYOF_STRIPE_KEY": "sk_test", "DAYOF_STRIPE_URL": nowhere, "DAYOF_FORMANCE_URL": nowhere,
		"DAYOF_CHECKOUT_TICKET_CODE_KEYS": base64.StdEncoding.EncodeToString(seed),
		"DAYOF_CHECKOUT_ORDER_TOKEN_KEYS": rand.Text() + rand.Text(),
		"DAYOF_PASS_TOKEN_KEYS":           "1:" + rand.Text() + rand.Text(),
		"DAYOF_PASS_CERTIFICATE":          string(chain.Bundle),
		"DAYOF_PASS_PUBLIC_URL":           "https://passes.example.test",
		"DAYOF_PASS_APNS_URL":             nowhere,
		"DAYOF_WEBHOOK_ACCOUNT_SECRETS":   "whsec_" + rand.Text(), "DAYOF_WEBHOOK_CONNECT_SECRETS": "whsec_" + rand.Text(),
	}
	for _, name := range server.Services() {
		_, url := pgtest.NewNamed(t, "empty", nil)
		l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		address := l.Addr().String()
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		prefix := server.SettingPrefix(name)
		all[prefix+"DATABASE_URL"], all[prefix+"LISTEN"] = url, address
		if name != "webhook" { // whom nobody calls
			all[prefix+"URL"] = "http://" + address
		}
		addresses = append(addresses, address)
	}
	return all, addresses
}

// TestAll runs the four services in one process from the environment until the process is signalled to end.
func TestAll(t *testing.T) {
	t.Parallel()
	all, addresses := settings(t)
	h, _, stderr := testHost(all)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan int, 1)
	go func() { ended <- run(ctx, []string{"all"}, h) }()
	for _, address := range addresses {
		awaitHealthy(t, address, ended, stop, stderr)
	}
	stop()
	if code := <-ended; code != exitDone {
		t.Errorf("exit code %d: %s", code, stderr)
	}
	for _, address := range addresses {
		if healthy(t, address) {
			t.Errorf("%s still serves", address)
		}
	}
}

// awaitHealthy waits until a service serves, or fails with what ended it.
func awaitHealthy(t *testing.T, address string, ended <-chan int, stop func(), stderr *bytes.Buffer) {
	t.Helper()
	for deadline := time.After(5 * time.Minute); !healthy(t, address); {
		select {
		case code := <-ended:
			stop()
			t.Fatalf("ended with %d: %s", code, stderr)
		case <-deadline:
			stop()
			t.Fatalf("%s does not serve; exit code %d: %s", address, <-ended, stderr)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// TestShortOperatorToken refuses a token that can be guessed, in each place of the list, and does not repeat it.
func TestShortOperatorToken(t *testing.T) {
	t.Parallel()
	const short = "letmein"
	for _, tokens := range []string{short, rand.Text() + rand.Text() + "," + short} {
		all, _ := settings(t)
		all["DAYOF_OPERATOR_TOKEN"] = tokens
		h, _, stderr := testHost(all)
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
		code := run(ctx, []string{"pass"}, h)
		cancel()
		if said := stderr.String(); code != exitFailed || !strings.Contains(said, "fewer than 32 characters") || strings.Contains(said, short) {
			t.Errorf("exit code %d: %s", code, said)
		}
	}
}

// TestOrigins refuses origins that no browser sends, with the right form.
func TestOrigins(t *testing.T) {
	t.Parallel()
	for origin, says := range map[string]string{
		"https://shop.example/":        "write https://shop.example",
		"https://shop.example/cart":    "write https://shop.example",
		"HTTPS://Shop.example":         "write https://shop.example",
		"https://shop.example:443":     "write https://shop.example",
		"http://localhost:80":          "write http://localhost",
		"shop.example":                 "as in https://shop.example",
		"shop.example:8443/":           "as in https://shop.example:8443",
		"*":                            "is not an origin",
		"https://a.example, b.example": "as in https://b.example",
		"ftp://shop.example":           "as in https://shop.example",
	} {
		all, _ := settings(t)
		all["DAYOF_CORS_ORIGINS"] = origin
		h, _, stderr := testHost(all)
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
		code := run(ctx, []string{"pass"}, h)
		cancel()
		if said := stderr.String(); code != exitFailed || !strings.Contains(said, "DAYOF_CORS_ORIGINS") || !strings.Contains(said, says) {
			t.Errorf("%s: exit code %d: %s", origin, code, said)
		}
	}
}

// TestWrongOperatorTokens counts calls with tokens that are not the operator's and tells people of many.
func TestWrongOperatorTokens(t *testing.T) {
	t.Parallel()
	posted := make(chan string, 16)
	receiver := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		posted <- string(body)
	}))
	t.Cleanup(receiver.Close)
	all, addresses := settings(t)
	all["DAYOF_ALERT_URL"] = receiver.URL
	h, _, stderr := testHost(all)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan int, 1)
	go func() { ended <- run(ctx, []string{"pass"}, h) }()
	address := addresses[slices.Index(server.Services(), "pass")]
	awaitHealthy(t, address, ended, stop, stderr)
	for range 12 {
		if status := post(t, address, "Bearer "+rand.Text()); status != http.StatusUnauthorized {
			t.Errorf("a wrong token is answered %d", status)
		}
	}
	for range 12 {
		post(t, address, "") // scanners send none, and nobody is told of them
	}
	select {
	case body := <-posted:
		if !strings.Contains(body, `"kind":"wrong_operator_tokens"`) || !strings.Contains(body, `"subject":"pass"`) {
			t.Errorf("posted %s", body)
		}
	case <-time.After(5 * time.Minute):
		t.Error("nobody is told of wrong tokens")
	}
	if metrics := get(t, "http://"+address+"/metrics"); !strings.Contains(metrics, "\nrpc_wrong_tokens_total 12\n") {
		t.Error("wrong tokens are not counted")
	}
	stop()
	if code := <-ended; code != exitDone {
		t.Errorf("exit code %d: %s", code, stderr)
	}
}

// post calls a procedure of operators and returns the status of the answer.
func post(t *testing.T, address, authorization string) int {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+address+passv1connect.PassServiceGetPassProcedure, strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", authorization)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	return res.StatusCode
}

func get(t *testing.T, url string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

// TestAllEndsWithOne ends all services when one of them cannot run.
func TestAllEndsWithOne(t *testing.T) {
	t.Parallel()
	all, addresses := settings(t)
	all = maps.Clone(all)
	all["DAYOF_LEDGER_LISTEN"] = addresses[0] // taken by checkoutsvc, or the other way round
	h, _, stderr := testHost(all)
	if code := run(t.Context(), []string{"all"}, h); code != exitFailed || !strings.Contains(stderr.String(), "address already in use") {
		t.Errorf("exit code %d: %s", code, stderr)
	}
}

// TestMigrate migrates the databases that are set and no others.
func TestMigrate(t *testing.T) {
	t.Parallel()
	_, url := pgtest.NewNamed(t, "empty", nil)
	h, stdout, stderr := testHost(map[string]string{"DAYOF_PASS_DATABASE_URL": url})
	if code := run(t.Context(), []string{"migrate"}, h); code != exitDone || stdout.String() != "pass is up to date\n" {
		t.Errorf("exit code %d: %s%s", code, stdout, stderr)
	}
}

func healthy(t *testing.T, address string) bool {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, fmt.Sprintf("http://%s/healthz", address), nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return false
	}
	defer res.Body.Close()
	_, err = io.Copy(io.Discard, res.Body)
	return err == nil && res.StatusCode == http.StatusOK
}
