package e2e

import (
	"archive/zip"
	"bytes"
	"crypto/sha1"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/dayof/dayof/devenv/client"
	"github.com/dayof/dayof/e2e/e2etest"
)

// TestPass fetches a pass as a device does: from two replicas the same bytes, with every hash of the manifest right, what
// was sold on it, and 304 for who has it already.
func TestPass(t *testing.T) {
	t.Parallel()
	system, clock := client.NewClient(shared.File), shared.Clock()
	variant := e2etest.NewVariant(t, system, 4450, 10)
	sale, err := system.Sell(e2etest.Within(t, time.Minute), client.Purchase{VariantID: variant.GetId(), Tickets: 1, Via: client.ViaBoth})
	if err != nil {
		t.Fatal(err)
	}
	ticket := sale.Tickets[0]
	one, header := fetchPass(t, shared.ReplicaFile(0), ticket, "")
	// Not within the same second: a signing time that is read off the clock would not show.
	for first := clock.Now().Truncate(time.Second); clock.Now().Truncate(time.Second).Equal(first); {
		e2etest.Pause(e2etest.Within(t, time.Minute))
	}
	two, other := fetchPass(t, shared.ReplicaFile(1), ticket, "")
	if !bytes.Equal(one, two) || header.Get("ETag") != other.Get("ETag") || header.Get("Last-Modified") != other.Get("Last-Modified") {
		t.Errorf("two replicas give %d bytes %s and %d bytes %s", len(one), header.Get("ETag"), len(two), other.Get("ETag"))
	}
	if again, _ := fetchPass(t, shared.ReplicaFile(1), ticket, header.Get("Last-Modified")); again != nil {
		t.Error("a device that has the pass is sent it again")
	}
	files := unzip(t, one)
	assertManifest(t, files)
	var pass struct {
		SerialNumber        string `json:"serialNumber"`
		PassTypeIdentifier  string `json:"passTypeIdentifier"`
		TeamIdentifier      string `json:"teamIdentifier"`
		AuthenticationToken string `json:"authenticationToken"`
		WebServiceURL       string `json:"webServiceURL"`
	}
	if err := json.Unmarshal(files["pass.json"], &pass); err != nil {
		t.Fatal(err)
	}
	f := shared.File
	if pass.SerialNumber != ticket.PassSerial || pass.PassTypeIdentifier != f.PassTypeIdentifier || pass.TeamIdentifier != f.TeamIdentifier ||
		pass.AuthenticationToken != ticket.AuthenticationToken || strings.TrimSuffix(pass.WebServiceURL, "/") != f.PassURL {
		t.Errorf("the pass says %+v", pass)
	}
	for _, sold := range []string{ticket.Code, "Sommernacht am Fluss", "Kulturhafen", "No returns. Bring good shoes.", "44.5"} {
		if !bytes.Contains(files["pass.json"], []byte(sold)) {
			t.Errorf("pass.json does not hold %q", sold)
		}
	}
}

// TestPassIsRefused asks for a pass without its token.
func TestPassIsRefused(t *testing.T) {
	t.Parallel()
	system := client.NewClient(shared.File)
	variant := e2etest.NewVariant(t, system, 4450, 10)
	sale, err := system.Sell(e2etest.Within(t, time.Minute), client.Purchase{VariantID: variant.GetId(), Tickets: 2, Via: client.ViaBoth})
	if err != nil {
		t.Fatal(err)
	}
	for name, token := range map[string]string{
		"none": "", "wrong": "ApplePass x", "another pass's": "ApplePass " + sale.Tickets[1].AuthenticationToken,
		"operator's": "Bearer " + shared.File.OperatorToken,
	} {
		res := getPass(t, shared.File, sale.Tickets[0].PassSerial, token, "")
		if err := res.Body.Close(); err != nil {
			t.Error(err)
		}
		if res.StatusCode != http.StatusUnauthorized {
			t.Errorf("token %s: status %d", name, res.StatusCode)
		}
	}
}

func getPass(t *testing.T, f client.File, serial, authorization, since string) *http.Response {
	t.Helper()
	req, err := http.NewRequestWithContext(e2etest.Within(t, 10*time.Second), http.MethodGet, f.PassURL+"/v1/passes/"+f.PassTypeIdentifier+"/"+serial, nil)
	if err != nil {
		t.Fatal(err)
	}
	if authorization != "" {
		req.Header.Set("Authorization", authorization)
	}
	if since != "" {
		req.Header.Set("If-Modified-Since", since)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	return res
}

// fetchPass returns the archive, or nil for 304.
func fetchPass(t *testing.T, f client.File, ticket client.Ticket, since string) ([]byte, http.Header) {
	t.Helper()
	res := getPass(t, f, ticket.PassSerial, "ApplePass "+ticket.AuthenticationToken, since)
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	switch res.StatusCode {
	case http.StatusOK:
		if kind := res.Header.Get("Content-Type"); kind != "application/vnd.apple.pkpass" {
			t.Errorf("content type %q", kind)
		}
		return body, res.Header
	case http.StatusNotModified:
		return nil, res.Header
	}
	t.Fatalf("fetch pass %s: %s", ticket.PassSerial, res.Status)
	return nil, nil
}

func unzip(t *testing.T, archive []byte) map[string][]byte {
	t.Helper()
	reader, err := zip.NewReader(bytes.NewReader(archive), int64(len(archive)))
	if err != nil {
		t.Fatal(err)
	}
	files := map[string][]byte{}
	for _, f := range reader.File {
		content, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		if files[f.Name], err = io.ReadAll(content); err != nil {
			t.Fatal(err)
		}
	}
	return files
}

// assertManifest checks that the manifest names every file with its SHA-1, and no other.
func assertManifest(t *testing.T, files map[string][]byte) {
	t.Helper()
	var manifest map[string]string
	if err := json.Unmarshal(files["manifest.json"], &manifest); err != nil {
		t.Fatal(err)
	}
	for name, content := range files {
		if name == "manifest.json" || name == "signature" {
			continue
		}
		sum := sha1.Sum(content)
		if manifest[name] != hex.EncodeToString(sum[:]) {
			t.Errorf("the manifest gives %s the hash %q", name, manifest[name])
		}
		delete(manifest, name)
	}
	for name := range manifest {
		t.Errorf("the manifest names %s, which is not there", name)
	}
}
