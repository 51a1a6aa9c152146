package pkpass

import (
	"bytes"
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"math/big"
	"time"
)

// Object identifiers of RFC 5652, RFC 8017 and RFC 5754.
//
//nolint:gochecknoglobals // constants in all but syntax
var (
	oidData          = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 1}
	oidSignedData    = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 2}
	oidContentType   = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 3}
	oidMessageDigest = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 4}
	oidSigningTime   = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 5}
	oidRSA           = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 1}
	oidSHA256        = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 1}
	asn1Null         = asn1.RawValue{Tag: asn1.TagNull}
)

type contentInfo struct {
	Type    asn1.ObjectIdentifier
	Content asn1.RawValue // under the explicit tag 0
}

type signedData struct {
	Version          int
	DigestAlgorithms []pkix.AlgorithmIdentifier `asn1:"set"`
	Content          detachedContent
	Certificates     asn1.RawValue
	Signers          []signerInfo `asn1:"set"`
}

// detachedContent names the type of what was signed and leaves it out.
type detachedContent struct {
	Type asn1.ObjectIdentifier
}

type signerInfo struct {
	Version            int
	Issuer             issuerAndSerial
	DigestAlgorithm    pkix.AlgorithmIdentifier
	SignedAttributes   asn1.RawValue
	SignatureAlgorithm pkix.AlgorithmIdentifier
	Signature          []byte
}

type issuerAndSerial struct {
	Issuer asn1.RawValue
	Serial *big.Int
}

type attribute struct {
	Type   asn1.ObjectIdentifier
	Values []any `asn1:"set"`
}

// tagged puts bytes under the context tag 0.
func tagged(b []byte) asn1.RawValue {
	return asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 0, IsCompound: true, Bytes: b}
}

// Sign returns the detached CMS signature over content in DER: SHA-256 and RSA PKCS #1 v1.5, with content type, digest
// and signing time as signed attributes, and with the certificates of signer and issuer.
//
// Equal arguments give equal bytes: this padding has no randomness. (The library that is usual here, smallstep/pkcs7,
// states the time of the call as signing time.) The signing time is stated in whole seconds.
func Sign(content []byte, c *Certificate, signingTime time.Time) ([]byte, error) {
	digest := sha256.Sum256(content)
	attributes, err := asn1.MarshalWithParams([]attribute{
		{Type: oidContentType, Values: []any{oidData}},
		{Type: oidMessageDigest, Values: []any{digest[:]}},
		{Type: oidSigningTime, Values: []any{signingTime.UTC().Truncate(time.Second)}},
	}, "set") // sorts them, as DER demands
	if err != nil {
		return nil, fmt.Errorf("marshal signed attributes: %w", err)
	}
	toSign := sha256.Sum256(attributes)
	signature, err := rsa.SignPKCS1v15(nil, c.Key, crypto.SHA256, toSign[:])
	if err != nil {
		return nil, fmt.Errorf("sign: %w", err)
	}
	// They are signed as a SET OF and stand in the message under an implicit tag (RFC 5652, 5.4).
	attributes[0] = 0xA0
	sha256Algorithm := pkix.AlgorithmIdentifier{Algorithm: oidSHA256, Parameters: asn1Null}
	data, err := asn1.Marshal(signedData{
		Version:          1,
		DigestAlgorithms: []pkix.AlgorithmIdentifier{sha256Algorithm},
		Content:          detachedContent{Type: oidData},
		Certificates:     tagged(append(bytes.Clone(c.Leaf.Raw), c.Issuer.Raw...)),
		Signers: []signerInfo{{
			Version:            1,
			Issuer:             issuerAndSerial{Issuer: asn1.RawValue{FullBytes: c.Leaf.RawIssuer}, Serial: c.Leaf.SerialNumber},
			DigestAlgorithm:    sha256Algorithm,
			SignedAttributes:   asn1.RawValue{FullBytes: attributes},
			SignatureAlgorithm: pkix.AlgorithmIdentifier{Algorithm: oidRSA, Parameters: asn1Null},
			Signature:          signature,
		}},
	})
	if err != nil {
		return nil, fmt.Errorf("marshal signed data: %w", err)
	}
	message, err := asn1.Marshal(contentInfo{Type: oidSignedData, Content: tagged(data)})
	if err != nil {
		return nil, fmt.Errorf("marshal message: %w", err)
	}
	return message, nil
}
