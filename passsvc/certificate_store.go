package passsvc

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"time"

	"github.com/dayof/dayof/internal/chassis/clock"
	"github.com/dayof/dayof/passsvc/pkpass"
)

// errUnknownPassType says that no certificate is set up for a pass type.
var errUnknownPassType = errors.New("no certificate for this pass type")

// certificateStore holds the certificates of all pass types. The set is replaced as a whole when files change.
type certificateStore struct {
	fixed  []*pkpass.Certificate // given at start
	dir    string
	clock  clock.Clock
	logger *slog.Logger
	read   map[string]*pkpass.Certificate                   // by file of the folder, as it was read last; only reload uses it
	all    atomic.Pointer[map[string][]*pkpass.Certificate] // by pass type, the newest first
}

func newCertificateStore(c Config, clk clock.Clock, logger *slog.Logger) (*certificateStore, error) {
	s := &certificateStore{dir: c.CertificateDir, clock: clk, logger: logger}
	for i, bundle := range c.Certificates {
		certificate, err := pkpass.ParseCertificate([]byte(bundle.Reveal()))
		if err != nil {
			return nil, fmt.Errorf("certificate bundle %d: %w", i+1, err)
		}
		s.fixed = append(s.fixed, certificate)
	}
	if err := s.reload(context.Background()); err != nil {
		return nil, err
	}
	return s, nil
}

// reload reads the folder again. A bundle that cannot be read stays as it was, and does not keep others from being read: the
// error names it. At start there is nothing that it was.
func (s *certificateStore) reload(ctx context.Context) error {
	certificates := slices.Clone(s.fixed)
	var errs []error
	if s.dir != "" {
		names, err := filepath.Glob(filepath.Join(s.dir, "*.pem"))
		if err != nil {
			return fmt.Errorf("list certificates: %w", err)
		}
		read := map[string]*pkpass.Certificate{}
		for _, name := range names {
			certificate, err := readBundle(name)
			if err != nil {
				errs = append(errs, err)
				certificate = s.read[name]
			}
			if certificate != nil {
				read[name] = certificate
				certificates = append(certificates, certificate)
			}
		}
		s.read = read
	}
	all := map[string][]*pkpass.Certificate{}
	for _, c := range certificates {
		if !slices.ContainsFunc(all[c.PassTypeIdentifier], func(o *pkpass.Certificate) bool { return o.Fingerprint == c.Fingerprint }) {
			all[c.PassTypeIdentifier] = append(all[c.PassTypeIdentifier], c)
		}
	}
	for _, list := range all {
		slices.SortFunc(list, newerFirst)
	}
	before := s.all.Swap(&all)
	if before != nil && !sameCertificates(*before, all) {
		s.logger.LogAttrs(ctx, slog.LevelInfo, "certificates changed", slog.Int("pass_types", len(all)))
	}
	return errors.Join(errs...)
}

func readBundle(name string) (*pkpass.Certificate, error) {
	bundle, err := os.ReadFile(name)
	if err != nil {
		return nil, fmt.Errorf("read certificate bundle: %w", err)
	}
	certificate, err := pkpass.ParseCertificate(bundle)
	if err != nil {
		return nil, fmt.Errorf("certificate bundle %s: %w", filepath.Base(name), err)
	}
	return certificate, nil
}

// newerFirst orders by the start of validity; the fingerprint decides between equals, alike on every replica.
func newerFirst(a, b *pkpass.Certificate) int {
	if c := b.Leaf.NotBefore.Compare(a.Leaf.NotBefore); c != 0 {
		return c
	}
	if a.Fingerprint < b.Fingerprint {
		return -1
	}
	return 1
}

func sameCertificates(a, b map[string][]*pkpass.Certificate) bool {
	if len(a) != len(b) {
		return false
	}
	for passType, list := range a {
		same := slices.EqualFunc(list, b[passType], func(x, y *pkpass.Certificate) bool { return x.Fingerprint == y.Fingerprint })
		if !same {
			return false
		}
	}
	return true
}

// passTypes lists the pass types that have a certificate, sorted.
func (s *certificateStore) passTypes() []string {
	var types []string
	for passType := range *s.all.Load() {
		types = append(types, passType)
	}
	slices.Sort(types)
	return types
}

// signer returns the certificate to sign with at now: the newest one that is valid. When none is, it returns the one
// that was valid last together with the reason why nothing can be signed.
func (s *certificateStore) signer(passType string) (*pkpass.Certificate, error) {
	return s.signerAt(passType, s.clock.Now())
}

func (s *certificateStore) signerAt(passType string, now time.Time) (*pkpass.Certificate, error) {
	list := (*s.all.Load())[passType]
	if len(list) == 0 {
		return nil, fmt.Errorf("%w: %s", errUnknownPassType, passType)
	}
	latest := list[0]
	for _, c := range list {
		if c.Validity(now) == nil {
			return c, nil
		}
		if c.NotAfter().After(latest.NotAfter()) {
			latest = c
		}
	}
	return latest, latest.Validity(now)
}

// lastExpiry is when the last certificate of a pass type expires.
func (s *certificateStore) lastExpiry(passType string) time.Time {
	var last time.Time
	for _, c := range (*s.all.Load())[passType] {
		if c.NotAfter().After(last) {
			last = c.NotAfter()
		}
	}
	return last
}
