package main

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/dayof/dayof/devenv/client"
	"github.com/dayof/dayof/internal/chassis/clock"
	"github.com/dayof/dayof/internal/server"
)

// output collects what a command prints while it still runs.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// testHost is the machine as a test shows it: its environment, but for what extra changes.
func testHost(extra map[string]string) (h host, stdout, stderr *output) {
	stdout, stderr = &output{}, &output{}
	return host{
		stdout: stdout, stderr: stderr, clock: clock.System{},
		getenv: func(name string) string {
			if value, ok := extra[name]; ok {
				return value
			}
			if name == "DAYOF_DATABASE_URL" {
				return os.Getenv("DAYOF_TEST_DATABASE_URL")
			}
			return os.Getenv(name)
		},
	}, stdout, stderr
}

// must runs a command line and returns what it prints; another exit code fails the test.
func must(t *testing.T, want int, args ...string) string {
	t.Helper()
	h, stdout, stderr := testHost(nil)
	if got := run(t.Context(), args, h); got != want {
		t.Fatalf("dayof %s: exit code %d, want %d\n%s%s", strings.Join(args, " "), got, want, stdout, stderr)
	}
	return stdout.String()
}

// decode reads the one JSON value that a command prints with -json.
func decode[T any](t *testing.T, text string) T {
	t.Helper()
	var value T
	decoder := json.NewDecoder(strings.NewReader(text))
	if err := decoder.Decode(&value); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	if _, err := decoder.Token(); err != io.EOF {
		t.Fatalf("more than one JSON value: %s", text)
	}
	return value
}

func TestDemo(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "order.json"), nil, 0o644); err != nil { // of an earlier demo
		t.Fatal(err)
	}
	text := must(t, exitDone, "demo", "-out", dir)
	for _, name := range []string{"ticket.pkpass", "order.json", "ledger.json"} {
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s, which holds tokens or a ticket, has mode %v, %v", name, info.Mode(), err)
		}
	}
	if strings.Contains(text, "{") {
		t.Errorf("progress for people is no JSON: %s", text)
	}
	archive, err := zip.OpenReader(filepath.Join(dir, "ticket.pkpass"))
	if err != nil {
		t.Fatal(err)
	}
	if err := archive.Close(); err != nil {
		t.Error(err)
	}
	order := decode[client.Order](t, read(t, dir, "order.json"))
	if order.PaymentState != "paid" || order.FulfilmentState != "completed" || len(order.Tickets) != 1 || len(order.Timeline) == 0 {
		t.Errorf("order.json: %+v", order)
	}
	books := decode[client.Statement](t, read(t, dir, "ledger.json"))
	if len(books.Postings) == 0 || len(books.TrialBalance) == 0 {
		t.Errorf("ledger.json: %+v", books)
	}
	for asset, balance := range books.TrialBalance {
		if balance.String() != "0" {
			t.Errorf("the trial balance in %s is %s", asset, balance)
		}
	}
	if !strings.Contains(must(t, exitDone, "pass", "verify", filepath.Join(dir, "ticket.pkpass")), "iOS accepts this pass") {
		t.Error("the pass of the demo is not accepted")
	}
}

func read(t *testing.T, dir, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestDemoChecksItsFolder refuses a folder that cannot be written to before anything is started or sold.
func TestDemoChecksItsFolder(t *testing.T) {
	t.Parallel()
	taken := t.TempDir()
	if err := os.Mkdir(filepath.Join(taken, "ledger.json"), 0o700); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, out := range []string{taken, file, filepath.Join(file, "below")} {
		h, stdout, stderr := testHost(nil)
		code := run(t.Context(), []string{"demo", "-out", out}, h)
		if code != exitFailed || stdout.String() != "" || !strings.Contains(stderr.String(), "output directory") || strings.Count(stderr.String(), "\n") != 1 {
			t.Errorf("%s: exit code %d\n%s%s", out, code, stdout, stderr)
		}
	}
}

// TestDemoWithoutPostgres runs the demo where no Postgres is: it says what it fetches from where, and when that fails, what
// to set.
func TestDemoWithoutPostgres(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]http.HandlerFunc{
		"nothing can be fetched": http.NotFound,
		"what is fetched is damaged": func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprintf(w, "this is %s", r.URL.Path)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			repository := httptest.NewServer(answer)
			defer repository.Close()
			h, _, stderr := testHost(map[string]string{
				"DAYOF_DATABASE_URL": "", "DAYOF_POSTGRES_BIN": "fetch", "DAYOF_POSTGRES_REPOSITORY": repository.URL,
				"XDG_CACHE_HOME": t.TempDir(), "HOME": t.TempDir(),
			})
			if got := run(t.Context(), []string{"demo", "-out", t.TempDir()}, h); got != exitFailed {
				t.Errorf("exit code %d", got)
			}
			for _, word := range []string{repository.URL, "DAYOF_DATABASE_URL", "DAYOF_POSTGRES_BIN", "DAYOF_POSTGRES_REPOSITORY"} {
				if !strings.Contains(stderr.String(), word) {
					t.Errorf("the message does not name %s: %s", word, stderr)
				}
			}
		})
	}
}

// running is a `dayof up` that the test started.
type running struct {
	devFile string
	stdout  *output
	stop    func() int
}

// startUp runs `dayof up` on ports of its own until the test ends.
func startUp(t *testing.T) running {
	t.Helper()
	dir := t.TempDir()
	ctx, cancel := context.WithCancel(context.Background()) // it outlives the test's context, to drain
	h, stdout, stderr := testHost(nil)
	base := freePorts(t)
	ended := make(chan int, 1)
	go func() { ended <- run(ctx, []string{"up", "-data", dir, "-port-base", fmt.Sprint(base)}, h) }()
	u := running{devFile: filepath.Join(dir, "dev.json"), stdout: stdout}
	u.stop = sync.OnceValue(func() int {
		cancel()
		return <-ended
	})
	t.Cleanup(func() {
		if code := u.stop(); code != exitDone {
			t.Errorf("up ends with %d: %s", code, stderr)
		}
	})
	deadline := time.After(2 * time.Minute)
	for !strings.Contains(stdout.String(), "check -dev ") {
		select {
		case code := <-ended:
			ended <- code
			t.Fatalf("up ends with %d: %s", code, stderr)
		case <-deadline:
			t.Fatalf("up is not ready: %s%s", stdout, stderr)
		case <-time.After(20 * time.Millisecond):
		}
	}
	return u
}

// freePorts returns a port that is free together with the dozen after it. Another process may take one before they are
// used; the range is above those that the system gives out by itself.
func freePorts(t *testing.T) int {
	t.Helper()
	for base := 20000 + os.Getpid()%997*11; base < 32000; base += 17 {
		free := true
		for offset := range 12 {
			l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", fmt.Sprintf("127.0.0.1:%d", base+offset))
			if err != nil {
				free = false
				break
			}
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
		}
		if free {
			return base
		}
	}
	t.Fatal("no dozen of free ports")
	return 0
}

// TestUp drives a running system by every command, as a script would.
func TestUp(t *testing.T) {
	t.Parallel()
	u := startUp(t)
	info, err := os.Stat(u.devFile)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o600 {
		t.Errorf("dev.json has mode %v", info.Mode())
	}
	assertAddresses(t, u)
	assertLastLines(t, u)
	assertDoctor(t, u)

	sale := decode[client.Sale](t, must(t, exitDone, "sell", "-dev", u.devFile, "-json", "-tickets", "2"))
	if sale.PaymentState != "paid" || sale.FulfilmentState != "completed" || len(sale.Tickets) != 2 {
		t.Fatalf("sell: %+v", sale)
	}
	for _, via := range []string{"ui", "webhook", "both"} {
		if s := decode[client.Sale](t, must(t, exitDone, "-json", "-dev", u.devFile, "sell", "-via", via)); s.FulfilmentState != "completed" {
			t.Errorf("sell -via %s: %+v", via, s)
		}
	}
	driveOrders(t, u, sale)
	driveDoor(t, u, sale)
	driveOrder(t, u, sale)
	drivePass(t, u, sale)
	driveFaults(t, u)
	driveEvents(t, u)
	driveSeats(t, u)
	driveReplay(t, u)
	driveLists(t, u)
	driveEvent(t, u)

	check := must(t, exitDone, "check", "-dev", u.devFile)
	for line := range strings.Lines(check) {
		if !strings.HasPrefix(line, "ok ") {
			t.Errorf("check: %s", line)
		}
	}
	driveReconcile(t, u)
	driveBlockedOrder(t, u)
	left := read(t, filepath.Dir(u.devFile), "dev.json")
	if code := u.stop(); code != exitDone {
		t.Errorf("up ends with %d", code)
	}
	if _, err := os.Stat(u.devFile); err == nil {
		t.Error("dev.json is left behind")
	}
	must(t, exitFailed, "sell", "-dev", u.devFile)
	// What one that was killed leaves behind.
	if err := os.WriteFile(u.devFile, []byte(left), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range []string{"sell", "jobs", "alerts", "fault list", "doctor"} {
		if said := mustFail(t, append(strings.Fields(args), "-dev", u.devFile)...); !strings.Contains(said, "no dayof is running") {
			t.Errorf("%s beside the file of a system that was killed: %s", args, said)
		}
	}
}

// TestDoctorAlone calls a required setting that is missing missing.
func TestDoctorAlone(t *testing.T) {
	t.Parallel()
	h, stdout, stderr := testHost(map[string]string{"DAYOF_OPERATOR_TOKEN": ""})
	h.environ = nil
	code := run(t.Context(), []string{"doctor", "pass"}, h)
	if code != exitFailed || !strings.Contains(stdout.String(), "PROBLEM pass     setting DAYOF_OPERATOR_TOKEN: missing: it is required") {
		t.Errorf("exit code %d: %s%s", code, stdout, stderr)
	}
}

// assertAddresses checks that dev.json has every field that scripts rely on, and that its URLs answer.
func assertAddresses(t *testing.T, u running) {
	t.Helper()
	file := decode[map[string]any](t, read(t, filepath.Dir(u.devFile), "dev.json"))
	for _, name := range []string{
		"checkout_url", "pass_url", "ledger_url", "webhook_url", "console_url", "stripe_webhook_secret",
		"stripe_connect_webhook_secret", "operator_token", "pass_type_identifier", "team_identifier", "pass_ca_file",
	} {
		if text, _ := file[name].(string); text == "" {
			t.Errorf("dev.json has no %s", name)
		}
	}
	for _, name := range []string{"database_urls", "metrics_urls"} {
		urls, _ := file[name].(map[string]any)
		if len(urls) != len(server.Services()) {
			t.Errorf("dev.json has %s %v", name, urls)
		}
	}
	sandbox, _ := file["sandbox"].(map[string]any)
	for _, name := range []string{"stripe_url", "formance_url", "apns_url", "apns_log_url", "mail_log_url", "alert_log_url", "faults_url"} {
		if text, _ := sandbox[name].(string); text == "" {
			t.Errorf("dev.json has no sandbox.%s", name)
		}
	}
	f, err := client.ReadFile(u.devFile)
	if err != nil {
		t.Fatal(err)
	}
	pages := []string{f.ConsoleURL, f.CheckoutURL + "/healthz", f.Sandbox.FaultsURL, f.Sandbox.FormanceURL + "/_healthcheck"}
	for _, logs := range []string{f.Sandbox.APNsLogURL, f.Sandbox.MailLogURL, f.Sandbox.AlertLogURL} {
		decode[[]any](t, get(t, logs))
	}
	for _, url := range f.MetricsURLs {
		pages = append(pages, url)
	}
	for _, page := range pages {
		get(t, page)
	}
	if !filepath.IsAbs(f.PassCAFile) {
		t.Errorf("pass_ca_file is %s", f.PassCAFile)
	}
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
	if err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("GET %s: %s, %v", url, res.Status, err)
	}
	return string(body)
}
