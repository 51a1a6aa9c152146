package checkoutsvc_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"testing"

	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/proto"

	"github.com/dayof/dayof/checkoutsvc/ticketcode"
	checkoutv1 "github.com/dayof/dayof/gen/dayof/checkout/v1"
)

// offlineDoor is what a device makes of the packages that it downloads.
type offlineDoor struct {
	w      *harness
	device scanner
	keys   ticketcode.PublicKeys
	since  string
	states map[string]string // by the hash of a ticket's id; none means that it admits
	full   int               // how many packages began anew
}

// download applies packages until no more are ready, and returns how many tickets they named.
func (d *offlineDoor) download() (named int) {
	d.w.t.Helper()
	for more := true; more; {
		res, err := d.device.GetOfflinePackage(d.w.t.Context(), &checkoutv1.GetOfflinePackageRequest{Since: d.since})
		if err != nil {
			d.w.t.Fatal(err)
		}
		if !d.keys.VerifyPackage(res.GetPackage(), res.GetSignature(), res.GetKeyVersion()) {
			d.w.t.Fatal("the package is not signed")
		}
		p := &checkoutv1.OfflinePackage{}
		if err := proto.Unmarshal(res.GetPackage(), p); err != nil {
			d.w.t.Fatal(err)
		}
		if p.GetFull() {
			d.full++
			d.states = map[string]string{}
		}
		for state, list := range map[string][]byte{"used": p.GetUsed(), "void": p.GetVoid(), "suspended": p.GetSuspended(), "": p.GetValid()} {
			for ; len(list) >= 8; list = list[8:] {
				d.states[string(list[:8])] = state
				named++
			}
		}
		d.since, more = p.GetNextSince(), res.GetMore()
	}
	return named
}

// state is what the device knows of a ticket; empty when it admits.
func (d *offlineDoor) state(ticketID string) string {
	sum := sha256.Sum256([]byte(ticketID))
	return d.states[string(sum[:8])]
}

// newOfflineDoor enrols a device and fetches the keys.
func (w *harness) newOfflineDoor(eventID string) *offlineDoor {
	w.t.Helper()
	d := &offlineDoor{w: w, device: w.enrolled(eventID, "north"), keys: ticketcode.PublicKeys{}}
	keys, err := d.device.GetCodeKeys(w.t.Context(), &checkoutv1.GetCodeKeysRequest{})
	if err != nil {
		w.t.Fatal(err)
	}
	for _, k := range keys.GetKeys() {
		d.keys[k.GetVersion()] = k.GetPublicKey()
	}
	return d
}

// TestOfflinePackage has a device follow what happens to tickets by packages.
func TestOfflinePackage(t *testing.T) {
	w := newHarness(t)
	o := w.bought("offline", 6)
	tickets := o.GetTickets()
	d := w.newOfflineDoor(w.event.GetId())
	if n := d.download(); n != 0 || d.full != 1 {
		t.Errorf("the first package names %d tickets, full %d: a sale alone is nothing to know", n, d.full)
	}
	w.admit(0, "used", scan(tickets[0], "south"))
	w.setState(tickets[1], "void")
	w.setState(tickets[2], "suspended")
	want := map[int]string{0: "used", 1: "void", 2: "suspended", 3: ""}
	see := func() {
		t.Helper()
		for i, state := range want {
			if got := d.state(tickets[i].GetId()); got != state {
				t.Errorf("ticket %d is %q to the device, want %q", i, got, state)
			}
		}
	}
	if n := d.download(); n != 3 {
		t.Errorf("the second package names %d tickets, want 3", n)
	}
	see()
	w.until("a package names what is known no more, once no older transaction is open", func() bool { return d.download() == 0 })
	see()
	w.setState(tickets[2], "valid")
	want[2] = ""
	d.download()
	see()

	// A transaction that began before a package and commits after it is in the next one.
	tx, err := w.pool.BeginTx(t.Context(), pgx.TxOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), "update tickets set state = 'void' where id = $1", tickets[3].GetId()); err != nil {
		t.Fatal(err)
	}
	w.setState(tickets[4], "suspended") // commits first, with a larger number
	d.download()
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	d.download()
	want[3], want[4] = "void", "suspended"
	see()
	if d.full != 1 {
		t.Errorf("%d packages began anew, want 1", d.full)
	}

	fresh := *d // a device that begins now knows the same, and nothing of tickets that admit
	fresh.since, fresh.states = "", nil
	if n := fresh.download(); n != 4 || fresh.state(tickets[0].GetId()) != "used" || fresh.state(tickets[2].GetId()) != "" {
		t.Errorf("a full package names %d tickets, want 4", n)
	}
	for name, since := range map[string]string{
		"garbage":         "garbage",
		"another event":   w.newOfflineDoorSince(),
		"another history": base64.RawURLEncoding.EncodeToString(bytes.Replace(decoded(t, d.since), []byte(`"h":"`), []byte(`"h":"1`), 1)),
		"the future":      base64.RawURLEncoding.EncodeToString(bytes.Replace(decoded(t, d.since), []byte(`"x":"`), []byte(`"x":"9`), 1)),
	} {
		fresh.since, fresh.full = since, 0
		if n := fresh.download(); n != 4 || fresh.full != 1 {
			t.Errorf("since %s: %d tickets, full %d", name, n, fresh.full)
		}
	}
	res, err := d.device.GetOfflinePackage(t.Context(), &checkoutv1.GetOfflinePackageRequest{})
	if err != nil {
		t.Fatal(err)
	}
	changed := bytes.Clone(res.GetPackage())
	changed[len(changed)-1] ^= 1
	if d.keys.VerifyPackage(changed, res.GetSignature(), res.GetKeyVersion()) {
		t.Error("a package that was changed is taken for ours")
	}
}

// newOfflineDoorSince is where a device of another event is.
func (w *harness) newOfflineDoorSince() string {
	w.t.Helper()
	d := w.newOfflineDoor(w.sell(7700, 5).event.GetId())
	d.download()
	return d.since
}

func decoded(t *testing.T, since string) []byte {
	t.Helper()
	b, err := base64.RawURLEncoding.DecodeString(since)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
