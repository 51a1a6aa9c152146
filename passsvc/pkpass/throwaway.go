package pkpass

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"time"
)

// ThrowawayChain is a signing chain of our own making: for development, demonstrations and tests. It has the shape of
// Apple's (root, WWDR intermediate, pass certificate), but no device trusts it.
type ThrowawayChain struct {
	// Bundle is the PEM of key, pass certificate and intermediate, as ParseCertificate reads it. It is secret.
	Bundle []byte
	// Root is the PEM of the root certificate.
	Root []byte
}

// ThrowawayOptions say what the certificates contain; the zero value is fine.
type ThrowawayOptions struct {
	PassTypeIdentifier string        // default "pass.dev.dayof.ticket"
	TeamIdentifier     string        // 10 characters, default "DAYOFDEV01"
	Lifetime           time.Duration // of the pass certificate, default 395 days, as Apple's
}

// NewThrowawayChain makes a chain whose certificates are valid from an hour before now. It takes a second or so: three
// RSA keys.
func NewThrowawayChain(now time.Time, o ThrowawayOptions) (*ThrowawayChain, error) {
	if o.PassTypeIdentifier == "" {
		o.PassTypeIdentifier = "pass.dev.dayof.ticket"
	}
	if o.TeamIdentifier == "" {
		o.TeamIdentifier = "DAYOFDEV01"
	}
	if o.Lifetime == 0 {
		o.Lifetime = 395 * 24 * time.Hour
	}
	from := now.UTC().Add(-time.Hour).Truncate(time.Second)
	authority := func(name string, lifetime time.Duration) *x509.Certificate {
		return &x509.Certificate{
			Subject: pkix.Name{
				CommonName: name, Organization: []string{"dayof development"}, Country: []string{"US"},
			},
			NotBefore: from, NotAfter: from.Add(lifetime),
			IsCA: true, BasicConstraintsValid: true,
			KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		}
	}
	const decade = 10 * 365 * 24 * time.Hour
	root, rootKey, err := issue(authority("Throwaway Root CA", 2*decade), nil, nil)
	if err != nil {
		return nil, err
	}
	wwdr, wwdrKey, err := issue(authority("Throwaway WWDR intermediate", decade), root, rootKey)
	if err != nil {
		return nil, err
	}
	leaf, leafKey, err := issue(&x509.Certificate{
		Subject: pkix.Name{
			CommonName:         "Pass Type ID: " + o.PassTypeIdentifier,
			Organization:       []string{"dayof development"},
			OrganizationalUnit: []string{o.TeamIdentifier},
			Country:            []string{"US"},
			ExtraNames:         []pkix.AttributeTypeAndValue{{Type: oidUserID, Value: o.PassTypeIdentifier}},
		},
		NotBefore: from, NotAfter: from.Add(time.Hour + o.Lifetime),
		BasicConstraintsValid: true,
		// No extended usage: it signs passes and is our client certificate at APNs.
		KeyUsage: x509.KeyUsageDigitalSignature,
	}, wwdr, wwdrKey)
	if err != nil {
		return nil, err
	}
	key, err := x509.MarshalPKCS8PrivateKey(leafKey)
	if err != nil {
		return nil, fmt.Errorf("marshal key: %w", err)
	}
	return &ThrowawayChain{
		Bundle: bytes.Join([][]byte{encode("PRIVATE KEY", key), encode("CERTIFICATE", leaf.Raw), encode("CERTIFICATE", wwdr.Raw)}, nil),
		Root:   encode("CERTIFICATE", root.Raw),
	}, nil
}

// issue makes a key and its certificate after template, signed by parent, or by itself when parent is nil.
func issue(template, parent *x509.Certificate, parentKey *rsa.PrivateKey) (*x509.Certificate, *rsa.PrivateKey, error) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, nil, fmt.Errorf("make key: %w", err)
	}
	if parent == nil {
		parent, parentKey = template, key
	}
	// 127 random bits: positive, and unique without a register.
	template.SerialNumber, err = rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, nil, fmt.Errorf("make serial number: %w", err)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, parentKey)
	if err != nil {
		return nil, nil, fmt.Errorf("issue %s: %w", template.Subject.CommonName, err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, nil, fmt.Errorf("read %s: %w", template.Subject.CommonName, err)
	}
	return certificate, key, nil
}

func encode(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}
