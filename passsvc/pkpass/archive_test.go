package pkpass_test

import (
	"archive/zip"
	"bytes"
	"crypto"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/smallstep/pkcs7"

	"github.com/dayof/dayof/passsvc/pkpass"
)

// now is when the tests take place.
var now = time.Date(2026, 11, 3, 18, 30, 0, 0, time.UTC)

// throwaway makes RSA keys once per test binary: they take longer than all tests.
var throwaway = sync.OnceValues(func() (*pkpass.ThrowawayChain, error) {
	return pkpass.NewThrowawayChain(now, pkpass.ThrowawayOptions{})
})

func newChain(tb testing.TB) (*pkpass.ThrowawayChain, *pkpass.Certificate) {
	tb.Helper()
	chain, err := throwaway()
	if err != nil {
		tb.Fatal(err)
	}
	c, err := pkpass.ParseCertificate(chain.Bundle)
	if err != nil {
		tb.Fatal(err)
	}
	return chain, c
}

func newDesign() *pkpass.Design {
	return pkpass.NewDesign([]pkpass.File{
		{Name: "icon.png", Data: bytes.Repeat([]byte("icon"), 900)},
		{Name: "de.lproj/pass.strings", Data: []byte(`"Gate" = "Tor";`)},
	})
}

func build(tb testing.TB, d *pkpass.Design, c *pkpass.Certificate, passJSON string) pkpass.Archive {
	tb.Helper()
	a, err := d.Build([]pkpass.File{{Name: "pass.json", Data: []byte(passJSON)}}, c, now)
	if err != nil {
		tb.Fatal(err)
	}
	return a
}

func unzip(tb testing.TB, archive []byte) map[string][]byte {
	tb.Helper()
	r, err := zip.NewReader(bytes.NewReader(archive), int64(len(archive)))
	if err != nil {
		tb.Fatal(err)
	}
	files := map[string][]byte{}
	for _, f := range r.File {
		content, err := f.Open()
		if err != nil {
			tb.Fatal(err)
		}
		data, err := io.ReadAll(content) // checks the CRC
		if err != nil {
			tb.Fatalf("%s: %v", f.Name, err)
		}
		if _, twice := files[f.Name]; twice {
			tb.Fatalf("%s is there twice", f.Name)
		}
		files[f.Name] = data
	}
	return files
}

func TestBuild(t *testing.T) {
	t.Parallel()
	_, certificate := newChain(t)
	archive := build(t, newDesign(), certificate, `{"a":1}`)

	t.Run("equal arguments give equal bytes", func(t *testing.T) {
		t.Parallel()
		if again := build(t, newDesign(), certificate, `{"a":1}`); !bytes.Equal(again.Bytes(), archive.Bytes()) {
			t.Fatal("two builds differ")
		}
		if other := build(t, newDesign(), certificate, `{"a":2}`); bytes.Equal(other.Bytes(), archive.Bytes()) {
			t.Fatal("other content, same bytes")
		}
	})

	t.Run("the manifest lists each file with its SHA-1 and nothing else", func(t *testing.T) {
		t.Parallel()
		files := unzip(t, archive.Bytes())
		var manifest map[string]string
		if err := json.Unmarshal(files["manifest.json"], &manifest); err != nil {
			t.Fatal(err)
		}
		for name, data := range files {
			if name == "manifest.json" || name == "signature" {
				continue
			}
			sum := sha1.Sum(data)
			if manifest[name] != hex.EncodeToString(sum[:]) {
				t.Errorf("%s: manifest says %q", name, manifest[name])
			}
			delete(manifest, name)
		}
		if len(manifest) != 0 {
			t.Errorf("files that are not there: %v", manifest)
		}
		want := []string{"de.lproj/pass.strings", "icon.png", "manifest.json", "pass.json", "signature"}
		if got := sortedNames(files); !slices.Equal(got, want) {
			t.Errorf("files %v, want %v", got, want)
		}
	})

	t.Run("another reader of zip and of CMS agrees", func(t *testing.T) {
		t.Parallel()
		files := unzip(t, archive.Bytes())
		message, err := pkcs7.Parse(files["signature"])
		if err != nil {
			t.Fatal(err)
		}
		if len(message.Content) != 0 {
			t.Error("the signature is not detached")
		}
		var stated time.Time
		if err := message.UnmarshalSignedAttribute(pkcs7.OIDAttributeSigningTime, &stated); err != nil || !stated.Equal(now) {
			t.Errorf("signing time %v, %v; want %v", stated, err, now)
		}
		if !message.Signers[0].DigestAlgorithm.Algorithm.Equal(pkcs7.OIDDigestAlgorithmSHA256) {
			t.Error("digest is not SHA-256")
		}
		message.Content = files["manifest.json"]
		if err := message.Verify(); err != nil {
			t.Error(err)
		}
		if len(message.Certificates) != 2 {
			t.Errorf("%d certificates, want leaf and issuer", len(message.Certificates))
		}
	})
}

func sortedNames(files map[string][]byte) []string {
	var names []string
	for name := range files {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// opensslVerify returns what openssl says of a package's signature.
func opensslVerify(tb testing.TB, archive, root []byte) (string, error) {
	tb.Helper()
	dir := tb.TempDir()
	files := unzip(tb, archive)
	for name, data := range map[string][]byte{
		"signature": files["signature"], "manifest.json": files["manifest.json"], "root.pem": root,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			tb.Fatal(err)
		}
	}
	// The chain was made for the tests' own day.
	command := exec.CommandContext(tb.Context(), "openssl", "cms", "-verify", "-binary", "-inform", "DER", "-in", "signature",
		"-content", "manifest.json", "-CAfile", "root.pem", "-out", os.DevNull, "-attime", "1793730600")
	command.Dir = dir
	output, err := command.CombinedOutput()
	return string(output), err
}

func TestOpenSSLAcceptsTheSignature(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("openssl"); err != nil {
		t.Log("openssl is not installed; CI has it")
		return
	}
	chain, certificate := newChain(t)
	archive := build(t, newDesign(), certificate, `{"a":1}`).Bytes()
	if output, err := opensslVerify(t, archive, chain.Root); err != nil || !strings.Contains(output, "successful") {
		t.Fatalf("%v: %s", err, output)
	}
	// One flipped byte of the manifest inside the stored zip.
	i := bytes.LastIndex(archive, []byte(`{"icon.png":`))
	broken := bytes.Clone(archive)
	broken[i+14]++
	if output, err := opensslVerify(t, fixCRC(t, broken), chain.Root); err == nil {
		t.Fatalf("a changed manifest was accepted: %s", output)
	}
}

// fixCRC rewrites a zip whose stored data was changed.
func fixCRC(tb testing.TB, archive []byte) []byte {
	tb.Helper()
	r, err := zip.NewReader(bytes.NewReader(archive), int64(len(archive)))
	if err != nil {
		tb.Fatal(err)
	}
	var out bytes.Buffer
	w := zip.NewWriter(&out)
	for _, f := range r.File {
		raw, err := f.OpenRaw()
		if err != nil {
			tb.Fatal(err)
		}
		data, err := io.ReadAll(raw)
		if err != nil {
			tb.Fatal(err)
		}
		entry, err := w.Create(f.Name)
		if err != nil {
			tb.Fatal(err)
		}
		if _, err := entry.Write(data); err != nil {
			tb.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		tb.Fatal(err)
	}
	return out.Bytes()
}

func TestSigningTimeIsInsideTheCertificate(t *testing.T) {
	t.Parallel()
	_, certificate := newChain(t)
	old := certificate.Leaf.NotBefore.Add(-time.Hour)
	if got := certificate.SigningTime(old); !got.Equal(certificate.Leaf.NotBefore) {
		t.Errorf("content older than the certificate is signed at %v", got)
	}
	if got := certificate.SigningTime(now.Add(900 * time.Millisecond)); !got.Equal(now) {
		t.Errorf("signing time %v, want whole seconds", got)
	}
}

func BenchmarkBuild(b *testing.B) {
	_, certificate := newChain(b)
	design := newDesign()
	passJSON := bytes.Repeat([]byte("x"), 4000)
	for b.Loop() {
		if _, err := design.Build([]pkpass.File{{Name: "pass.json", Data: passJSON}}, certificate, now); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkBareSignature(b *testing.B) {
	_, certificate := newChain(b)
	sum := sha256.Sum256([]byte("manifest"))
	for b.Loop() {
		if _, err := certificate.Key.Sign(nil, sum[:], crypto.SHA256); err != nil {
			b.Fatal(err)
		}
	}
}
