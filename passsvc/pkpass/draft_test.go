package pkpass_test

import (
	"archive/zip"
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"maps"
	"slices"
	"testing"

	"github.com/smallstep/pkcs7"

	"github.com/dayof/dayof/passsvc/artwork"
	"github.com/dayof/dayof/passsvc/pkpass"
)

// draft is a package in the making: files to pack, and how to sign and zip them.
type draft struct {
	pass     map[string]any
	files    map[string]string             // besides pass.json
	manifest func(hashes map[string]any)   // changes the manifest before it is signed
	sign     func(manifest []byte) []byte  // nil: as we do
	after    func(files map[string]string) // changes files after signing
	pack     func(w *zip.Writer)           // adds entries that are not files
	archive  func(archive []byte) []byte   // changes the archive
	options  func(options *pkpass.VerifyOptions)
}

func newDraft(tb testing.TB) *draft {
	tb.Helper()
	d := &draft{files: map[string]string{"de.lproj/pass.strings": `"GATE" = "TOR";` + "\n"}}
	for _, name := range []string{"icon.png", "icon@2x.png", "logo.png", "logo@2x.png", "strip.png", "strip@2x.png"} {
		data, err := artwork.Images.ReadFile(name)
		if err != nil {
			tb.Fatal(err)
		}
		d.files[name] = string(data)
	}
	err := json.Unmarshal([]byte(`{
		"formatVersion": 1, "passTypeIdentifier": "pass.dev.dayof.ticket", "serialNumber": "A1", "teamIdentifier": "DAYOFDEV01",
		"organizationName": "Nachtwerk", "description": "Ticket", "webServiceURL": "https://pass.example",
		"authenticationToken": "0123456789abcdef", "relevantDate": "2027-03-01T20:00:00+01:00",
		"relevantDates": [{"startDate": "2027-03-01T20:00:00+01:00", "endDate": "2027-03-01T23:00:00+01:00"}],
		"locations": [{"latitude": 52.5, "longitude": 0}], "backgroundColor": "rgb(1, 2, 3)",
		"barcodes": [{"format": "PKBarcodeFormatQR", "message": "x", "messageEncoding": "iso-8859-1"}],
		"eventTicket": {
			"primaryFields": [{"key": "event", "label": "EVENT", "value": "Night", "changeMessage": "Now %@"}],
			"auxiliaryFields": [{"key": "gate", "label": "GATE", "value": "B"},
				{"key": "price", "value": 89.5, "currencyCode": "EUR"},
				{"key": "starts", "value": "2027-03-01T20:00:00+01:00", "dateStyle": "PKDateStyleMedium"}]
		}}`), &d.pass)
	if err != nil {
		tb.Fatal(err)
	}
	return d
}

func (d *draft) field(i int) map[string]any {
	return d.event()["auxiliaryFields"].([]any)[i].(map[string]any) //nolint:forcetypeassert,errcheck // as written in newDraft
}

func (d *draft) event() map[string]any {
	return d.pass["eventTicket"].(map[string]any) //nolint:forcetypeassert,errcheck // as written in newDraft
}

// build returns the archive.
func (d *draft) build(tb testing.TB) []byte {
	tb.Helper()
	_, certificate := newChain(tb)
	files := maps.Clone(d.files)
	if d.pass != nil {
		encoded, err := json.Marshal(d.pass)
		if err != nil {
			tb.Fatal(err)
		}
		files["pass.json"] = string(encoded)
	}
	hashes := map[string]any{}
	for name, data := range files {
		sum := sha1.Sum([]byte(data))
		hashes[name] = hex.EncodeToString(sum[:])
	}
	if d.manifest != nil {
		d.manifest(hashes)
	}
	manifest, err := json.Marshal(hashes)
	if err != nil {
		tb.Fatal(err)
	}
	files["manifest.json"] = string(manifest)
	if d.sign != nil {
		files["signature"] = string(d.sign(manifest))
	} else {
		signature, err := pkpass.Sign(manifest, certificate, now)
		if err != nil {
			tb.Fatal(err)
		}
		files["signature"] = string(signature)
	}
	if d.after != nil {
		d.after(files)
	}
	var out bytes.Buffer
	w := zip.NewWriter(&out)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		entry, err := w.Create(name)
		if err != nil {
			tb.Fatal(err)
		}
		if _, err := entry.Write([]byte(files[name])); err != nil {
			tb.Fatal(err)
		}
	}
	if d.pack != nil {
		d.pack(w)
	}
	if err := w.Close(); err != nil {
		tb.Fatal(err)
	}
	if d.archive != nil {
		return d.archive(out.Bytes())
	}
	return out.Bytes()
}

// verify checks the archive as of the tests' day, with the throw-away root trusted.
func (d *draft) verify(tb testing.TB) *pkpass.Report {
	tb.Helper()
	chain, _ := newChain(tb)
	o := pkpass.VerifyOptions{Now: now, Roots: x509.NewCertPool()}
	o.Roots.AppendCertsFromPEM(chain.Root)
	if d.options != nil {
		d.options(&o)
	}
	return pkpass.Verify(d.build(tb), o)
}

// others makes signatures that we do not make, with the library that others use.
type others struct {
	digest   bool // SHA-1
	attached bool
	bare     bool // without signed attributes
	noIssuer bool
	extra    *x509.Certificate
}

func (o others) sign(tb testing.TB) func(manifest []byte) []byte {
	tb.Helper()
	_, certificate := newChain(tb)
	return func(manifest []byte) []byte {
		data, err := pkcs7.NewSignedData(manifest)
		if err != nil {
			tb.Fatal(err)
		}
		if !o.digest {
			data.SetDigestAlgorithm(pkcs7.OIDDigestAlgorithmSHA256)
		}
		add := data.AddSigner
		if o.bare {
			add = data.SignWithoutAttr
		}
		if err := add(certificate.Leaf, certificate.Key, pkcs7.SignerInfoConfig{}); err != nil {
			tb.Fatal(err)
		}
		if !o.noIssuer {
			data.AddCertificate(certificate.Issuer)
		}
		if o.extra != nil {
			data.AddCertificate(o.extra)
		}
		if !o.attached {
			data.Detach()
		}
		signature, err := data.Finish()
		if err != nil {
			tb.Fatal(err)
		}
		return signature
	}
}

// signUnsorted signs as node-forge does, and with it most who make passes: the signed attributes are not in the order that
// DER demands, neither where they stand nor where they are signed.
func signUnsorted(tb testing.TB) func(manifest []byte) []byte {
	tb.Helper()
	_, certificate := newChain(tb)
	return func(manifest []byte) []byte {
		message, err := pkpass.Sign(manifest, certificate, now)
		if err != nil {
			tb.Fatal(err)
		}
		// Content type, signing time and digest, each a sequence that begins with its object identifier.
		var at [3]int
		for i, attribute := range []byte{3, 5, 4} {
			if at[i] = bytes.Index(message, []byte{0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, attribute}) - 4; at[i] < 0 {
				tb.Fatal("an attribute is missing")
			}
		}
		end := at[2] + 2 + int(message[at[2]+1])
		swapped := slices.Concat(message[at[1]:at[2]], message[at[0]:at[1]], message[at[2]:end])
		copy(message[at[0]:], swapped)
		digest := sha256.Sum256(append([]byte{0x31, byte(len(swapped))}, swapped...))
		signature, err := rsa.SignPKCS1v15(nil, certificate.Key, crypto.SHA256, digest[:])
		if err != nil {
			tb.Fatal(err)
		}
		copy(message[len(message)-len(signature):], signature)
		return message
	}
}

// signByAnother signs with a key that is not the certificate's.
func signByAnother(tb testing.TB) func(manifest []byte) []byte {
	tb.Helper()
	_, certificate := newChain(tb)
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		tb.Fatal(err)
	}
	another := *certificate
	another.Key = key
	return func(manifest []byte) []byte {
		message, err := pkpass.Sign(manifest, &another, now)
		if err != nil {
			tb.Fatal(err)
		}
		return message
	}
}

func decodeCertificate(tb testing.TB) *x509.Certificate {
	tb.Helper()
	chain, _ := newChain(tb)
	block, _ := pem.Decode(chain.Root)
	root, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		tb.Fatal(err)
	}
	return root
}
