package pkpass_test

import (
	"bytes"
	"crypto/x509"
	"fmt"
	"image"
	"image/png"
	"log"
	"time"

	"github.com/dayof/dayof/passsvc/pkpass"
)

// A package of a partner or of a support case is checked without a device: Verify lists every reason for which iOS would
// refuse it. Here the pass is signed by a chain of our own making, so its root is named; without Roots any chain is
// accepted, and one that is not Apple's is a warning.
func ExampleVerify() {
	now := time.Date(2027, 3, 1, 20, 0, 0, 0, time.UTC)
	archive, root := signedPass(now)
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(root)

	report := pkpass.Verify(archive, pkpass.VerifyOptions{Now: now, Roots: roots})
	fmt.Println(report.SerialNumber, "accepted:", report.Accepted())

	// Two years later the certificate has expired. Installed passes stay; a device no longer installs this one.
	report = pkpass.Verify(archive, pkpass.VerifyOptions{Now: now.AddDate(2, 0, 0), Roots: roots})
	fmt.Println(report.SerialNumber, "accepted:", report.Accepted())

	report = pkpass.Verify([]byte("not a package"), pkpass.VerifyOptions{Now: now})
	for _, finding := range report.Findings {
		fmt.Println(finding)
	}
	// Output:
	// 0123456789abcdef accepted: true
	// 0123456789abcdef accepted: false
	// refused: this is not a whole zip archive (zip: not a valid zip file): was the download cut off, or is it an error page?
}

// signedPass builds and signs the smallest pass that iOS takes, and returns it with the root of its chain.
func signedPass(now time.Time) (archive, root []byte) {
	chain, err := pkpass.NewThrowawayChain(now, pkpass.ThrowawayOptions{PassTypeIdentifier: "pass.com.example.ticket", TeamIdentifier: "EXAMPLE123"})
	if err != nil {
		log.Fatal(err)
	}
	certificate, err := pkpass.ParseCertificate(chain.Bundle)
	if err != nil {
		log.Fatal(err)
	}
	var images []pkpass.File
	for name, size := range map[string]int{"icon.png": 29, "icon@2x.png": 58, "icon@3x.png": 87} {
		var icon bytes.Buffer
		if err := png.Encode(&icon, image.NewGray(image.Rect(0, 0, size, size))); err != nil {
			log.Fatal(err)
		}
		images = append(images, pkpass.File{Name: name, Data: icon.Bytes()})
	}
	pass := pkpass.File{Name: "pass.json", Data: []byte(`{
		"formatVersion": 1, "passTypeIdentifier": "pass.com.example.ticket", "teamIdentifier": "EXAMPLE123",
		"serialNumber": "0123456789abcdef", "organizationName": "Example", "description": "Ticket for the concert",
		"eventTicket": {"primaryFields": [{"key": "event", "label": "Event", "value": "Concert"}]}
	}`)}
	built, err := pkpass.NewDesign(images).Build([]pkpass.File{pass}, certificate, certificate.SigningTime(now))
	if err != nil {
		log.Fatal(err)
	}
	return built.Bytes(), chain.Root
}
