// Package device is a device with a wallet, as a pass's web service knows it. It is written from Apple's description
// of the protocol and shares no code with the service, so that a mistake in one is not a mistake in both.
//
// Source: Apple's "PassKit Web Service Reference" and "Wallet Passes".
package device

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha1" //nolint:gosec // Apple's manifest is defined with SHA-1
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
)

// Device is one device. It is used by one goroutine.
type Device struct {
	DeviceLibraryIdentifier string // 32 hexadecimal digits
	PushToken               string // 64 hexadecimal digits
	// PassesUpdatedSince is the tag of its last list, by pass type; it is echoed and never read.
	PassesUpdatedSince map[string]string

	http *http.Client
}

// New returns a device that no service knows yet.
func New() *Device {
	random := make([]byte, 48)
	_, _ = rand.Read(random) // never fails
	return &Device{
		DeviceLibraryIdentifier: hex.EncodeToString(random[:16]), PushToken: hex.EncodeToString(random[16:]),
		PassesUpdatedSince: map[string]string{},
		http: &http.Client{Transport: &http.Transport{}, CheckRedirect: func(*http.Request, []*http.Request) error {
			return http.ErrUseLastResponse
		}},
	}
}

// Close ends the device's connections.
func (p *Device) Close() { p.http.CloseIdleConnections() }

// Pass is an installed pass.
type Pass struct {
	WebServiceURL       string `json:"webServiceURL"`
	PassTypeIdentifier  string `json:"passTypeIdentifier"`
	SerialNumber        string `json:"serialNumber"`
	AuthenticationToken string `json:"authenticationToken"`
	Voided              bool   `json:"voided"`

	JSON         string `json:"-"` // pass.json
	Archive      []byte `json:"-"`
	LastModified string `json:"-"` // of the answer that brought it; empty at first
}

// Open reads a package as a device does that installs it: every file must have the hash that the manifest gives. It does
// not check the signature.
func Open(archive []byte) (*Pass, error) {
	reader, err := zip.NewReader(bytes.NewReader(archive), int64(len(archive)))
	if err != nil {
		return nil, fmt.Errorf("open pass: %w", err)
	}
	files := map[string][]byte{}
	for _, f := range reader.File {
		content, err := f.Open()
		if err != nil {
			return nil, fmt.Errorf("open %s: %w", f.Name, err)
		}
		if files[f.Name], err = io.ReadAll(content); err != nil {
			return nil, fmt.Errorf("read %s: %w", f.Name, err)
		}
	}
	var manifest map[string]string
	if err := json.Unmarshal(files["manifest.json"], &manifest); err != nil {
		return nil, fmt.Errorf("read manifest: %w", err)
	}
	if len(files) != len(manifest)+2 || len(files["signature"]) == 0 {
		return nil, fmt.Errorf("%d files, of which the manifest lists %d", len(files), len(manifest))
	}
	for name, hash := range manifest {
		if sum := sha1.Sum(files[name]); hash != hex.EncodeToString(sum[:]) { //nolint:gosec // see above
			return nil, fmt.Errorf("the hash of %s does not fit", name)
		}
	}
	p := &Pass{JSON: string(files["pass.json"]), Archive: archive}
	if err := json.Unmarshal(files["pass.json"], p); err != nil {
		return nil, fmt.Errorf("read pass.json: %w", err)
	}
	return p, nil
}

// Answer is what the web service answered.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte
}

// Do sends a request to a path below a pass's web service, as it stands: segments are encoded already. An empty token is
// not sent.
func (p *Device) Do(ctx context.Context, method, webServiceURL, path, token, body string, headers ...string) (Answer, error) {
	base, err := url.Parse(strings.TrimSuffix(webServiceURL, "/"))
	if err != nil {
		return Answer{}, err
	}
	path, query, _ := strings.Cut(path, "?")
	plain, err := url.PathUnescape(path)
	if err != nil {
		return Answer{}, err
	}
	base.RawPath, base.Path, base.RawQuery = base.Path+path, base.Path+plain, query
	req, err := http.NewRequestWithContext(ctx, method, base.String(), strings.NewReader(body))
	if err != nil {
		return Answer{}, err
	}
	if token != "" {
		req.Header.Set("Authorization", "ApplePass "+token)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	res, err := p.http.Do(req)
	if err != nil {
		return Answer{}, err
	}
	defer res.Body.Close()
	answer := Answer{Status: res.StatusCode, Header: res.Header}
	if answer.Body, err = io.ReadAll(res.Body); err != nil {
		return Answer{}, fmt.Errorf("read answer: %w", err)
	}
	return answer, nil
}

// Download follows a link to a pass, as one that was tapped in a mail, and installs it.
func (p *Device) Download(ctx context.Context, link string) (*Pass, error) {
	answer, err := p.Do(ctx, http.MethodGet, link, "", "", "")
	if err != nil {
		return nil, err
	}
	if kind := answer.Header.Get("Content-Type"); answer.Status != http.StatusOK || kind != "application/vnd.apple.pkpass" {
		return nil, fmt.Errorf("the link answers %d with %q", answer.Status, kind)
	}
	return Open(answer.Body)
}

func (p *Device) registration(pass *Pass) string {
	return "/v1/devices/" + p.DeviceLibraryIdentifier + "/registrations/" + url.PathEscape(pass.PassTypeIdentifier) + "/" + url.PathEscape(pass.SerialNumber)
}

// Register wishes to hear of the pass's changes: 201 when that is new, 200 when not.
func (p *Device) Register(ctx context.Context, pass *Pass) (Answer, error) {
	return p.Do(ctx, http.MethodPost, pass.WebServiceURL, p.registration(pass), pass.AuthenticationToken, `{"pushToken":"`+p.PushToken+`"}`)
}

// Unregister wishes to hear no more: 200.
func (p *Device) Unregister(ctx context.Context, pass *Pass) (Answer, error) {
	return p.Do(ctx, http.MethodDelete, pass.WebServiceURL, p.registration(pass), pass.AuthenticationToken, "")
}

// List asks which passes of the pass's type have changed since the last list, and remembers the tag. It returns their
// serial numbers, none after 204.
func (p *Device) List(ctx context.Context, pass *Pass) ([]string, error) {
	path := "/v1/devices/" + p.DeviceLibraryIdentifier + "/registrations/" + url.PathEscape(pass.PassTypeIdentifier)
	if tag := p.PassesUpdatedSince[pass.PassTypeIdentifier]; tag != "" {
		path += "?passesUpdatedSince=" + tag // as iOS does: not escaped
	}
	answer, err := p.Do(ctx, http.MethodGet, pass.WebServiceURL, path, "", "")
	if err != nil {
		return nil, err
	}
	switch answer.Status {
	case http.StatusNoContent:
		if len(answer.Body) > 0 {
			return nil, errors.New("204 with a body")
		}
		return nil, nil
	case http.StatusOK:
	default:
		return nil, fmt.Errorf("list: status %d", answer.Status)
	}
	var list struct {
		SerialNumbers []string `json:"serialNumbers"`
		LastUpdated   string   `json:"lastUpdated"` // iOS fetches nothing when it is no string
	}
	if err := json.Unmarshal(answer.Body, &list); err != nil {
		return nil, fmt.Errorf("read list: %w", err)
	}
	if list.LastUpdated == "" || len(list.SerialNumbers) == 0 {
		return nil, fmt.Errorf("list without tag or serial numbers: %s", answer.Body)
	}
	p.PassesUpdatedSince[pass.PassTypeIdentifier] = list.LastUpdated
	return list.SerialNumbers, nil
}

// Fetch asks for the latest version of a pass with the date of the installed one, and installs what comes. It returns
// false after 304: the installed one is the latest.
func (p *Device) Fetch(ctx context.Context, pass *Pass) (bool, error) {
	since := pass.LastModified
	if since == "" {
		since = "(null)" // as iOS says at first
	}
	answer, err := p.Do(ctx, http.MethodGet, pass.WebServiceURL, PassPath(pass), pass.AuthenticationToken, "", "If-Modified-Since", since)
	if err != nil {
		return false, err
	}
	switch answer.Status {
	case http.StatusNotModified:
		if len(answer.Body) > 0 {
			return false, errors.New("304 with a body")
		}
		return false, nil
	case http.StatusOK:
	default:
		return false, fmt.Errorf("fetch: status %d", answer.Status)
	}
	fresh, err := Open(answer.Body)
	if err != nil {
		return false, err
	}
	if fresh.SerialNumber != pass.SerialNumber || fresh.PassTypeIdentifier != pass.PassTypeIdentifier || fresh.AuthenticationToken != pass.AuthenticationToken {
		return false, fmt.Errorf("received invalid pass data: %s of %s instead of %s", fresh.SerialNumber, fresh.PassTypeIdentifier, pass.SerialNumber)
	}
	fresh.LastModified = answer.Header.Get("Last-Modified")
	*pass = *fresh
	return true, nil
}

// PassPath is the path of a pass below its web service.
func PassPath(pass *Pass) string {
	return "/v1/passes/" + url.PathEscape(pass.PassTypeIdentifier) + "/" + url.PathEscape(pass.SerialNumber)
}

// Percent encodes every byte of a segment, as some clients do.
func Percent(segment string) string {
	var b strings.Builder
	for _, c := range []byte(segment) {
		fmt.Fprintf(&b, "%%%02x", c)
	}
	return b.String()
}

// Log reports to the web service what went wrong here.
func (p *Device) Log(ctx context.Context, pass *Pass, lines ...string) (Answer, error) {
	body, err := json.Marshal(map[string][]string{"logs": lines})
	if err != nil {
		return Answer{}, err
	}
	return p.Do(ctx, http.MethodPost, pass.WebServiceURL, "/v1/log", "", string(body))
}
