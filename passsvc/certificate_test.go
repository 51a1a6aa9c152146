package passsvc_test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/dayof/dayof/devenv/pgtest"
	passv1 "github.com/dayof/dayof/gen/dayof/pass/v1"
	"github.com/dayof/dayof/internal/chassis/clock"
	"github.com/dayof/dayof/internal/chassis/config"
	"github.com/dayof/dayof/passsvc"
	"github.com/dayof/dayof/passsvc/pkpass"
)

func newBundle(tb testing.TB, from time.Time, o pkpass.ThrowawayOptions) []byte {
	tb.Helper()
	chain, err := pkpass.NewThrowawayChain(from, o)
	if err != nil {
		tb.Fatal(err)
	}
	return chain.Bundle
}

func TestCertificateLife(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(name string, bundle []byte) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), bundle, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	const days = 24 * time.Hour
	write("old.pem", newBundle(t, testNow, pkpass.ThrowawayOptions{Lifetime: 100 * days}))
	pool, clk := pgtest.New(t, passsvc.Migrate), clock.NewFake(testNow)
	fromDir := func(c *passsvc.Config) { c.Certificates, c.CertificateDir = nil, dir }
	r := newReplica(t, pool, clk, fromDir).start(t)
	p := r.issue(t, 1)[0]
	before := r.fetch(t, p)

	open := func() string {
		var subjects []string
		err := pool.QueryRow(t.Context(), "select coalesce(array_agg(subject order by id), '{}') from alerts where kind = 'pass_certificate_expires' and resolved_time is null").Scan(&subjects)
		if err != nil {
			t.Fatal(err)
		}
		return strings.ReplaceAll(strings.Join(subjects, ", "), passType+" ", "")
	}
	for _, step := range []struct {
		left time.Duration
		want string
	}{
		{61 * days, ""},
		{59 * days, "60 days"},
		{29 * days, "60 days, 30 days"},
		{13 * days, "60 days, 30 days, 14 days"},
		{12 * time.Hour, "60 days, 30 days, 14 days, 1 days"},
		{-time.Minute, "60 days, 30 days, 14 days, 1 days, 0 days"},
	} {
		clk.Set(testNow.Add(100*days - step.left))
		until(t, "alerts "+step.want, func() bool { return open() == step.want })
	}

	// Expired: nothing is signed or served, but tickets are issued all the same.
	if got := r.fetch(t, p); got.status != http.StatusServiceUnavailable || got.header.Get("Retry-After") == "" {
		t.Errorf("fetch under an expired certificate: %d", got.status)
	}
	late := r.issue(t, 2)[1]

	// A new certificate signs again, also what is older than itself, and the tag says so.
	write("new.pem", newBundle(t, clk.Now(), pkpass.ThrowawayOptions{}))
	r = newReplica(t, pool, clk, fromDir).start(t) // or a minute later by itself
	after := r.fetch(t, p)
	if after.status != http.StatusOK || after.header.Get("Etag") == before.header.Get("Etag") ||
		after.header.Get("Last-Modified") != before.header.Get("Last-Modified") {
		t.Errorf("%d, %v, before %v", after.status, after.header, before.header)
	}
	for _, pass := range []*passv1.Pass{p, late} {
		if report := pkpass.Verify([]byte(r.fetch(t, pass).body), pkpass.VerifyOptions{Now: clk.Now()}); !report.Accepted() {
			t.Errorf("%v", report.Findings)
		}
	}
	until(t, "alerts end", func() bool {
		clk.Advance(time.Hour)
		return open() == ""
	})
}

// TestCertificatesAreReadAgain replaces the folder's content under a running replica.
func TestCertificatesAreReadAgain(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	put := func(bundle []byte) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, "a.pem"), bundle, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	put(newChain(t).Bundle)
	r := newService(t, func(c *passsvc.Config) { c.Certificates, c.CertificateDir = nil, dir })
	p := r.issue(t, 1)[0]
	first := r.fetch(t, p).header.Get("Etag")
	put([]byte("broken"))
	if err := r.ReloadCertificates(t.Context()); err == nil {
		t.Error("a broken bundle was read")
	}
	if got := r.fetch(t, p).header.Get("Etag"); got != first {
		t.Errorf("a broken bundle changed the certificate: %s", got)
	}
	// Another file beside the broken one is read.
	newer := filepath.Join(dir, "b.pem")
	if err := os.WriteFile(newer, newBundle(t, testNow.Add(time.Second), pkpass.ThrowawayOptions{}), 0o600); err != nil {
		t.Fatal(err)
	}
	r.clock.Advance(time.Second)
	if err := r.ReloadCertificates(t.Context()); err == nil {
		t.Error("a broken bundle was read")
	}
	if got := r.fetch(t, p); got.header.Get("Etag") == first || got.status != http.StatusOK {
		t.Errorf("a broken bundle keeps a new one from being used: %d", got.status)
	}
	if err := os.Remove(newer); err != nil {
		t.Fatal(err)
	}
	put(newBundle(t, testNow.Add(time.Minute), pkpass.ThrowawayOptions{}))
	if err := r.ReloadCertificates(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := r.fetch(t, p); got.header.Get("Etag") == first || got.status != http.StatusOK {
		t.Errorf("%d %s", got.status, got.header.Get("Etag"))
	}
}

// TestPassTypes serves and pushes passes of two organisers' certificates from one service.
func TestPassTypes(t *testing.T) {
	t.Parallel()
	server, useAPNs := newAPNs(t)
	other := newBundle(t, testNow, pkpass.ThrowawayOptions{PassTypeIdentifier: "pass.org.other", TeamIdentifier: "OTHERTEAM1"})
	both := func(c *passsvc.Config) {
		c.Certificates = append(c.Certificates, config.NewSecret(string(other)))
		c.PassType = passType
		c.OrganizerPassTypes = map[string]string{"OrganizerOfOthers001": "pass.org.other"}
	}
	r := newService(t, useAPNs, both).start(t)
	ofOthers := newContent(2)
	ofOthers.OrganizerId = "OrganizerOfOthers001"
	res, err := r.client.IssuePasses(withKey(t.Context()), &passv1.IssuePassesRequest{OrderId: orderID, Passes: []*passv1.PassContent{newContent(1), ofOthers}})
	if err != nil {
		t.Fatal(err)
	}
	a, b := res.GetPasses()[0], res.GetPasses()[1]
	if a.GetPassTypeIdentifier() != passType || b.GetPassTypeIdentifier() != "pass.org.other" {
		t.Fatalf("%v %v", a, b)
	}
	d := newDevice(1)
	for _, p := range []*passv1.Pass{a, b} {
		if got := r.register(t, d, p); got != http.StatusCreated {
			t.Errorf("register: %d", got)
		}
		if report := pkpass.Verify([]byte(r.fetch(t, p).body), pkpass.VerifyOptions{Now: testNow}); !report.Accepted() {
			t.Errorf("%v", report.Findings)
		}
	}
	r.done(t, r.note(t, "x"))
	r.settled(t)
	topics := map[string]int{}
	for _, push := range server.Pushes() {
		topics[push.Topic+" "+fmt.Sprint(push.Status)]++
	}
	if topics[passType+" 200"] != 1 || topics["pass.org.other 200"] != 1 || len(topics) != 2 {
		t.Errorf("%v", topics)
	}
	if connections := server.Connections(); connections.Total != 2 {
		t.Errorf("%+v, want one connection per pass type", connections)
	}
	// Each type has its own tags.
	for _, p := range []*passv1.Pass{a, b} {
		got := r.do(t, http.MethodGet, "/v1/devices/"+d.id+"/registrations/"+p.GetPassTypeIdentifier(), "")
		if want := `{"serialNumbers":["` + p.GetSerial() + `"],"lastUpdated":"1"}`; strings.TrimSpace(got.body) != want {
			t.Errorf("%s, want %s", got.body, want)
		}
	}
}
