package pkpass

import (
	"crypto/rsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"time"
)

// oidUserID is the attribute of a pass certificate's subject that holds the pass type identifier (RFC 4519, uid).
var oidUserID = asn1.ObjectIdentifier{0, 9, 2342, 19200300, 100, 1, 1} //nolint:gochecknoglobals // a constant in all but syntax

// Certificate is what signs the passes of one pass type: the Pass Type ID certificate, its key, and the WWDR
// intermediate that issued it. It also authenticates us to APNs. It is immutable.
type Certificate struct {
	Leaf   *x509.Certificate
	Issuer *x509.Certificate
	Key    *rsa.PrivateKey
	// PassTypeIdentifier is the UID of the leaf's subject.
	PassTypeIdentifier string
	// TeamIdentifier is the OU of the leaf's subject.
	TeamIdentifier string
	// Fingerprint is the SHA-256 of leaf and issuer, in hex: whatever it signs depends on both.
	Fingerprint string
}

// ParseCertificate reads a PEM bundle that holds, in any order, the pass certificate, its private key and the WWDR
// intermediate that issued it; further certificates are ignored. The key is RSA, as Apple demands.
func ParseCertificate(bundle []byte) (*Certificate, error) {
	key, certificates, err := parseBundle(bundle)
	if err != nil {
		return nil, err
	}
	c := &Certificate{Key: key}
	for _, candidate := range certificates {
		if key.PublicKey.Equal(candidate.PublicKey) {
			c.Leaf = candidate
		}
	}
	if c.Leaf == nil {
		return nil, errors.New("no certificate in the bundle belongs to its private key")
	}
	for _, candidate := range certificates {
		// By name and by signature: Apple has issued several intermediates of the same purpose.
		if candidate != c.Leaf && c.Leaf.CheckSignatureFrom(candidate) == nil {
			c.Issuer = candidate
		}
	}
	if c.Issuer == nil {
		return nil, fmt.Errorf("the bundle lacks the WWDR intermediate that issued the certificate: %q", c.Leaf.Issuer.String())
	}
	c.PassTypeIdentifier, c.TeamIdentifier = subjectIdentifiers(c.Leaf.Subject)
	if c.PassTypeIdentifier == "" || c.TeamIdentifier == "" {
		return nil, errors.New("not a Pass Type ID certificate: its subject lacks UID (pass type) or OU (team)")
	}
	sum := sha256.New()
	sum.Write(c.Leaf.Raw)
	sum.Write(c.Issuer.Raw)
	c.Fingerprint = hex.EncodeToString(sum.Sum(nil))
	return c, nil
}

func parseBundle(bundle []byte) (*rsa.PrivateKey, []*x509.Certificate, error) {
	var key *rsa.PrivateKey
	var certificates []*x509.Certificate
	for {
		var block *pem.Block
		if block, bundle = pem.Decode(bundle); block == nil {
			break
		}
		switch block.Type {
		case "CERTIFICATE":
			certificate, err := x509.ParseCertificate(block.Bytes)
			if err != nil {
				return nil, nil, fmt.Errorf("parse certificate: %w", err)
			}
			certificates = append(certificates, certificate)
		case "PRIVATE KEY", "RSA PRIVATE KEY":
			parsed, err := parseKey(block)
			if err != nil {
				return nil, nil, err
			}
			key = parsed
		case "ENCRYPTED PRIVATE KEY":
			return nil, nil, errors.New("the private key is encrypted: decrypt it with openssl pkey")
		}
	}
	if key == nil {
		return nil, nil, errors.New("the bundle holds no private key")
	}
	return key, certificates, nil
}

// parseKey never wraps what the parser says: it might quote the key.
func parseKey(block *pem.Block) (*rsa.PrivateKey, error) {
	if block.Type == "RSA PRIVATE KEY" {
		key, err := x509.ParsePKCS1PrivateKey(block.Bytes)
		if err != nil {
			return nil, errors.New("the private key cannot be read")
		}
		return key, nil
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, errors.New("the private key cannot be read")
	}
	key, ok := parsed.(*rsa.PrivateKey)
	if !ok {
		return nil, errors.New("the private key is not RSA, which Apple demands for passes")
	}
	return key, nil
}

// subjectIdentifiers returns UID and OU of a subject.
func subjectIdentifiers(subject pkix.Name) (passType, team string) {
	for _, attribute := range subject.Names {
		if attribute.Type.Equal(oidUserID) {
			passType, _ = attribute.Value.(string)
		}
	}
	if len(subject.OrganizationalUnit) > 0 {
		team = subject.OrganizationalUnit[0]
	}
	return passType, team
}

// Validity reports whether leaf and issuer are both valid at now.
func (c *Certificate) Validity(now time.Time) error {
	switch {
	case now.Before(c.Leaf.NotBefore):
		return fmt.Errorf("the certificate of %s is not valid before %s", c.PassTypeIdentifier, c.Leaf.NotBefore.Format(time.RFC3339))
	case now.After(c.NotAfter()):
		return fmt.Errorf("the certificate of %s expired at %s", c.PassTypeIdentifier, c.NotAfter().Format(time.RFC3339))
	}
	return nil
}

// NotAfter is when the certificate stops working: when it or its issuer expires.
func (c *Certificate) NotAfter() time.Time {
	if c.Issuer.NotAfter.Before(c.Leaf.NotAfter) {
		return c.Issuer.NotAfter
	}
	return c.Leaf.NotAfter
}

// SigningTime is the time to state in a signature over what changed at t: t in whole seconds, but never before the
// certificate was valid, because content that is older than a renewed certificate is signed again.
func (c *Certificate) SigningTime(t time.Time) time.Time {
	t = t.UTC().Truncate(time.Second)
	if t.Before(c.Leaf.NotBefore) {
		return c.Leaf.NotBefore.UTC()
	}
	return t
}

// TLS returns the certificate as client certificate for APNs.
func (c *Certificate) TLS() tls.Certificate {
	return tls.Certificate{Certificate: [][]byte{c.Leaf.Raw, c.Issuer.Raw}, PrivateKey: c.Key, Leaf: c.Leaf}
}
