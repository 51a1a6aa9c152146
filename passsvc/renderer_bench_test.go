package passsvc

import (
	"crypto"
	"crypto/sha256"
	"syscall"
	"testing"
	"time"

	"github.com/dayof/dayof/internal/chassis/config"
	"github.com/dayof/dayof/passsvc/pkpass"
)

// BenchmarkArchive compares fresh packages, from content to bytes, with the RSA signature that is in them, by time of a
// core. Each round does both, so that a busy machine slows both alike.
func BenchmarkArchive(b *testing.B) {
	now := time.Date(2026, 11, 3, 18, 30, 0, 0, time.UTC)
	chain, err := pkpass.NewThrowawayChain(now, pkpass.ThrowawayOptions{})
	if err != nil {
		b.Fatal(err)
	}
	certificate, err := pkpass.ParseCertificate(chain.Bundle)
	if err != nil {
		b.Fatal(err)
	}
	keys, err := newKeyRing([]config.Secret{config.NewSecret("1:0123456789012345678901234567890123456789")})
	if err != nil {
		b.Fatal(err)
	}
	r, err := newRenderer(keys, "https://pass.example")
	if err != nil {
		b.Fatal(err)
	}
	state := revisionState{
		Serial: "AAAAAAAAAAAAAAAAAAAAA", PassType: certificate.PassTypeIdentifier, Revision: 2, KeyVersion: 1, ReviseTime: now,
		Content: content{ // that of testdata/plain.pass.json.golden
			TicketID: "Ticket000000000000001", OrderID: "Order0000000000000001", Code: "D1.Ticket000000000000001.c2lnbmF0dXJl",
			OrganizerName: "Nachtwerk", ProductName: "Standing ticket", VariantName: "Front block", HolderName: "Ada Lovelace",
			Event: eventContent{
				ID: "Event0000000000000001", Name: "Long Night of Open Air", VenueName: "Gasometer", VenueAddress: "Torgauer Str. 12, 10829 Berlin",
				TimeZone: "Europe/Berlin", DoorsTime: &now, StartTime: now, EndTime: now.Add(time.Hour), Location: &coordinate{Latitude: 52.4828},
			},
			Price: priceContent{Currency: "EUR", MinorUnits: 8900}, Terms: "No glass bottles.\nNo refunds, but for cancelled events.", Language: "en",
		},
	}
	sum := sha256.Sum256([]byte("manifest"))
	var archives, signatures time.Duration
	size := 0
	for b.Loop() {
		archives += timeOf(func() {
			archive, err := r.archive(state, certificate)
			if err != nil {
				b.Fatal(err)
			}
			size = archive.Size()
		})
		signatures += timeOf(func() {
			if _, err := certificate.Key.Sign(nil, sum[:], crypto.SHA256); err != nil {
				b.Fatal(err)
			}
		})
	}
	b.ReportMetric(float64(b.N)/archives.Seconds(), "archives/s")
	b.ReportMetric(float64(b.N)/signatures.Seconds(), "signatures/s")
	b.ReportMetric(signatures.Seconds()/archives.Seconds(), "of-bare-signing")
	b.ReportMetric(float64(size), "bytes")
}

// timeOf measures one call.
func timeOf(f func()) time.Duration {
	began := coreTime()
	f()
	return coreTime() - began
}

// coreTime is what this process has used of cores, which does not count the time of others on a busy machine.
func coreTime() time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		panic(err) // the arguments are right
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
