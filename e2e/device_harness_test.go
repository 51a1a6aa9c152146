package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/dayof/dayof/devenv/client"
	"github.com/dayof/dayof/e2e/device"
	"github.com/dayof/dayof/e2e/e2etest"
	checkoutv1 "github.com/dayof/dayof/gen/dayof/checkout/v1"
	moneyv1 "github.com/dayof/dayof/gen/dayof/money/v1"
	passv1 "github.com/dayof/dayof/gen/dayof/pass/v1"
	"github.com/dayof/dayof/internal/chassis/clock"
)

// program returns the dayof program: that of the setting, else one built now.
func program(t *testing.T) string {
	t.Helper()
	if path := os.Getenv("DAYOF_E2E_PROGRAM"); path != "" {
		return path
	}
	path := filepath.Join(t.TempDir(), "dayof")
	if out, err := exec.CommandContext(e2etest.Within(t, 5*time.Minute), "go", "build", "-o", path, "../cmd/dayof").CombinedOutput(); err != nil {
		t.Fatalf("build dayof: %v\n%s", err, out)
	}
	return path
}

// startUp runs `dayof up` as a process until the end of the test, and returns its dev.json.
func startUp(t *testing.T) client.File {
	t.Helper()
	dir := t.TempDir()
	var output bytes.Buffer
	up := exec.Command(program(t), "up", "-data", dir, "-port-base", strconv.Itoa(freePorts(t)))
	ofTests := func(setting string) bool {
		return strings.HasPrefix(setting, "DAYOF_E2E_") || strings.HasPrefix(setting, "DAYOF_TEST_")
	}
	up.Env = append(slices.DeleteFunc(os.Environ(), ofTests), "DAYOF_DATABASE_URL="+os.Getenv("DAYOF_TEST_DATABASE_URL"))
	up.Stdout, up.Stderr = &output, &output
	if err := up.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- up.Wait() }()
	t.Cleanup(func() {
		if err := up.Process.Signal(syscall.SIGTERM); err != nil {
			t.Error(err)
		}
		select {
		case err := <-ended:
			if err != nil {
				t.Errorf("up: %v\n%s", err, output.String())
			}
		case <-time.After(time.Minute):
			t.Errorf("up does not stop: %v", up.Process.Kill())
		}
	})
	ctx := e2etest.Within(t, 2*time.Minute)
	for {
		if file, err := client.ReadFile(filepath.Join(dir, "dev.json")); err == nil {
			return file
		}
		select {
		case err := <-ended:
			ended <- err
			t.Fatalf("up: %v\n%s", err, output.String())
		case <-ctx.Done():
			t.Fatal("up is not ready")
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// freePorts returns a port that is free together with the two dozen after it, below those that the system gives out by
// itself. Another process may take one before it is used.
func freePorts(t *testing.T) int {
	t.Helper()
	for base := 12000 + os.Getpid()%797*9; base < 20000; base += 29 {
		free := true
		for port := base; port < base+24 && free; port++ {
			l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", fmt.Sprintf("127.0.0.1:%d", port))
			if free = err == nil; free {
				free = l.Close() == nil
			}
		}
		if free {
			return base
		}
	}
	t.Fatal("no two dozen of free ports")
	return 0
}

// deviceLife is a device, the two tickets that its owner bought, and the system that they come from.
type deviceLife struct {
	t      *testing.T
	ctx    context.Context //nolint:containedctx // of the whole test
	client *client.Client
	device *device.Device
	sale   client.Sale
	pass   *device.Pass
	other  *device.Pass
	pushes int // that the device has got
}

// newDeviceLife buys two tickets and installs their passes from their links.
func newDeviceLife(t *testing.T, file client.File) *deviceLife {
	t.Helper()
	d := &deviceLife{t: t, ctx: e2etest.Within(t, 5*time.Minute), client: client.NewClient(file), device: device.New()}
	t.Cleanup(d.device.Close)
	variant := newOwnVariant(d.ctx, t, d.client)
	var err error
	if d.sale, err = d.client.Sell(d.ctx, client.Purchase{VariantID: variant.GetId(), Tickets: 2, Via: client.ViaBoth}); err != nil {
		t.Fatal(err)
	}
	for i, into := range []**device.Pass{&d.pass, &d.other} {
		if *into, err = d.device.Download(d.ctx, d.sale.Tickets[i].DownloadURL); err != nil {
			t.Fatal(err)
		}
	}
	if d.pass.SerialNumber != d.sale.Tickets[0].PassSerial {
		t.Fatalf("the link leads to pass %s", d.pass.SerialNumber)
	}
	return d
}

// newOwnVariant puts tickets of an event on sale that no other test knows, so that it can be rescheduled.
func newOwnVariant(ctx context.Context, t *testing.T, system *client.Client) *checkoutv1.Variant {
	t.Helper()
	now := clock.System{}.Now()
	if _, err := system.Seed(ctx, now); err != nil { // others take the first event that there is
		t.Fatal(err)
	}
	event, err := system.Catalog.CreateEvent(e2etest.Keyed(ctx), &checkoutv1.CreateEventRequest{
		OrganizerId: "deviceOrganizer00001", OrganizerName: "Spätschicht", Name: "Winternacht \"am\" Fluss",
		Venue:     &checkoutv1.Venue{Name: "Kulturhafen", Address: "Am Kai 7, 10115 Berlin", TimeZone: "Europe/Berlin"},
		StartTime: timestamppb.New(now.AddDate(2, 0, 0)), EndTime: timestamppb.New(now.AddDate(2, 0, 0).Add(3 * time.Hour)),
	})
	if err != nil {
		t.Fatal(err)
	}
	variant, err := system.CreateVariant(ctx, "device/"+client.NewKey(), event.GetEvent().GetId(), "Standing", "Floor", 10, &checkoutv1.VariantVersion{
		Price: &moneyv1.Money{Currency: "EUR", MinorUnits: 4450}, TaxMinorUnits: 120, TaxCountry: "DE", TaxKind: "vat", Terms: "No returns.",
	})
	if err != nil {
		t.Fatal(err)
	}
	return variant
}

// updates waits for a push and does what devices do then. The pass must hold each of want afterwards.
func (d *deviceLife) updates(want ...string) {
	d.t.Helper()
	d.awaitPush()
	if got := d.list(); !slices.Equal(got, []string{d.pass.SerialNumber}) {
		d.t.Fatalf("list after a push: %v", got)
	}
	if !d.fetch() {
		d.t.Fatal("the pass is called unchanged after a push")
	}
	for _, text := range want {
		if !strings.Contains(d.pass.JSON, text) {
			d.t.Errorf("the pass does not show %q: %s", text, d.pass.JSON)
		}
	}
	if got := d.list(); len(got) != 0 {
		d.t.Errorf("list after the update: %v", got)
	}
	d.hasTheLatest()
}

// hasTheLatest fetches until the answer is 304. Dates have whole seconds: after changes within a second the same pass may
// be sent again, until the clock has passed them all. Entity tags know it at once.
func (d *deviceLife) hasTheLatest() {
	d.t.Helper()
	latest := d.do(http.MethodHead, device.PassPath(d.pass), d.pass.AuthenticationToken).Header.Get("Etag")
	if got := d.do(http.MethodGet, device.PassPath(d.pass), d.pass.AuthenticationToken, "If-None-Match", latest); got.Status != http.StatusNotModified {
		d.t.Errorf("fetch with the latest entity tag: %d", got.Status)
	}
	for before := d.pass.Archive; d.fetch(); e2etest.Pause(d.ctx) {
		if !bytes.Equal(before, d.pass.Archive) {
			d.t.Fatal("another pass is sent without a change")
		}
	}
}

// awaitPush waits until the device has got a push more, and none but those is on its way.
func (d *deviceLife) awaitPush() {
	d.t.Helper()
	for d.received() <= d.pushes {
		if d.ctx.Err() != nil {
			d.t.Fatal("no push")
		}
		e2etest.Pause(d.ctx)
	}
	for settled := false; !settled; e2etest.Pause(d.ctx) {
		res, err := d.client.Passes.ListPushes(d.ctx, &passv1.ListPushesRequest{PassSerial: d.pass.SerialNumber})
		if err != nil {
			d.t.Fatalf("pushes are not settled: %v", err)
		}
		settled = !slices.ContainsFunc(res.GetPushes(), func(p *passv1.Push) bool { return p.GetState() == "pending" })
	}
	d.pushes = d.received()
}

// received counts the device's pushes at sandbox APNs, and checks each.
func (d *deviceLife) received() int {
	d.t.Helper()
	res, err := d.client.HTTP.Get(d.client.File.Sandbox.APNsLogURL)
	if err != nil {
		d.t.Fatal(err)
	}
	defer res.Body.Close()
	var all []struct {
		DeviceToken string          `json:"device_token"`
		Topic       string          `json:"topic"`
		Payload     json.RawMessage `json:"payload"`
		PushType    string          `json:"push_type"`
		Priority    string          `json:"priority"`
	}
	if err := json.NewDecoder(res.Body).Decode(&all); err != nil {
		d.t.Fatal(err)
	}
	count := 0
	for _, p := range all {
		if p.DeviceToken != d.device.PushToken {
			continue
		}
		count++
		if p.Topic != d.pass.PassTypeIdentifier || string(p.Payload) != "{}" || p.PushType != "background" || p.Priority != "5" {
			d.t.Errorf("push %+v", p)
		}
	}
	return count
}

func (d *deviceLife) list() []string {
	d.t.Helper()
	serials, err := d.device.List(d.ctx, d.pass)
	if err != nil {
		d.t.Fatal(err)
	}
	return serials
}

func (d *deviceLife) fetch() bool {
	d.t.Helper()
	changed, err := d.device.Fetch(d.ctx, d.pass)
	if err != nil {
		d.t.Fatal(err)
	}
	return changed
}

func (d *deviceLife) do(method, path, token string, headers ...string) device.Answer {
	d.t.Helper()
	body := ""
	if method == http.MethodPost {
		body = `{"pushToken":"` + strings.Repeat("0", 64) + `"}`
	}
	answer, err := d.device.Do(d.ctx, method, d.pass.WebServiceURL, path, token, body, headers...)
	if err != nil {
		d.t.Fatal(err)
	}
	return answer
}

// set changes a field of the pass, as `dayof pass set` does.
func (d *deviceLife) set(field, value string) {
	d.t.Helper()
	_, err := d.client.Passes.UpdatePass(e2etest.Keyed(d.ctx), &passv1.UpdatePassRequest{PassSerial: d.pass.SerialNumber, Fields: map[string]string{field: value}})
	if err != nil {
		d.t.Fatal(err)
	}
}
