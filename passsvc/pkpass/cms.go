package pkpass

import (
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/asn1"
	"fmt"
	"time"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
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
)

// Tags of ASN.1, as RFC 5652 uses them.
const (
	tagSet      = cbasn1.SET
	tagSequence = cbasn1.SEQUENCE
	tagContext0 = cbasn1.Tag(0 | 0x80 | 0x20) // [0], constructed
	tagContext1 = cbasn1.Tag(1 | 0x80 | 0x20)
)

// Sign returns the detached CMS signature over content in DER: SHA-256 and RSA PKCS #1 v1.5, with content type, digest
// and signing time as signed attributes, and with the certificates of signer and issuer.
//
// Equal arguments give equal bytes: this padding has no randomness. (The library that is usual here, smallstep/pkcs7,
// states the time of the call as signing time.) The signing time is stated in whole seconds.
func Sign(content []byte, c *Certificate, signingTime time.Time) ([]byte, error) {
	attributes, err := signedAttributes(sha256.Sum256(content), signingTime)
	if err != nil {
		return nil, err
	}
	// They are signed as a SET OF and stand in the message under an implicit tag (RFC 5652, 5.4).
	var set cryptobyte.Builder
	set.AddASN1(tagSet, func(b *cryptobyte.Builder) { b.AddBytes(attributes) })
	toSign, err := set.Bytes()
	if err != nil {
		return nil, fmt.Errorf("encode signed attributes: %w", err)
	}
	digest := sha256.Sum256(toSign)
	signature, err := rsa.SignPKCS1v15(nil, c.Key, crypto.SHA256, digest[:])
	if err != nil {
		return nil, fmt.Errorf("sign: %w", err)
	}
	message := cryptobyte.NewBuilder(make([]byte, 0, len(c.Leaf.Raw)+len(c.Issuer.Raw)+1024))
	message.AddASN1(tagSequence, func(b *cryptobyte.Builder) {
		b.AddASN1ObjectIdentifier(oidSignedData)
		b.AddASN1(tagContext0, func(b *cryptobyte.Builder) {
			b.AddASN1(tagSequence, func(b *cryptobyte.Builder) { addSignedData(b, c, attributes, signature) })
		})
	})
	encoded, err := message.Bytes()
	if err != nil {
		return nil, fmt.Errorf("encode signature: %w", err)
	}
	return encoded, nil
}

// signedAttributes returns the attributes without their enclosing tag, in the order that DER demands of a set: by their
// bytes, here by their lengths.
func signedAttributes(digest [sha256.Size]byte, signingTime time.Time) ([]byte, error) {
	var b cryptobyte.Builder
	add := func(oid asn1.ObjectIdentifier, value func(b *cryptobyte.Builder)) {
		b.AddASN1(tagSequence, func(b *cryptobyte.Builder) {
			b.AddASN1ObjectIdentifier(oid)
			b.AddASN1(tagSet, value)
		})
	}
	add(oidContentType, func(b *cryptobyte.Builder) { b.AddASN1ObjectIdentifier(oidData) })
	add(oidSigningTime, func(b *cryptobyte.Builder) { b.AddASN1UTCTime(signingTime.UTC().Truncate(time.Second)) })
	add(oidMessageDigest, func(b *cryptobyte.Builder) { b.AddASN1OctetString(digest[:]) })
	encoded, err := b.Bytes()
	if err != nil {
		return nil, fmt.Errorf("encode signed attributes: %w", err)
	}
	return encoded, nil
}

// addSignedData writes the fields of SignedData (RFC 5652, 5.1) with one signer and no content.
func addSignedData(b *cryptobyte.Builder, c *Certificate, attributes, signature []byte) {
	const version = 1 // of SignedData and of SignerInfo
	algorithm := func(b *cryptobyte.Builder, oid asn1.ObjectIdentifier) {
		b.AddASN1(tagSequence, func(b *cryptobyte.Builder) {
			b.AddASN1ObjectIdentifier(oid)
			b.AddASN1NULL()
		})
	}
	b.AddASN1Int64(version)
	b.AddASN1(tagSet, func(b *cryptobyte.Builder) { algorithm(b, oidSHA256) })
	b.AddASN1(tagSequence, func(b *cryptobyte.Builder) { b.AddASN1ObjectIdentifier(oidData) })
	b.AddASN1(tagContext0, func(b *cryptobyte.Builder) {
		b.AddBytes(c.Leaf.Raw)
		b.AddBytes(c.Issuer.Raw)
	})
	b.AddASN1(tagSet, func(b *cryptobyte.Builder) {
		b.AddASN1(tagSequence, func(b *cryptobyte.Builder) {
			b.AddASN1Int64(version)
			b.AddASN1(tagSequence, func(b *cryptobyte.Builder) {
				b.AddBytes(c.Leaf.RawIssuer)
				b.AddASN1BigInt(c.Leaf.SerialNumber)
			})
			algorithm(b, oidSHA256)
			b.AddASN1(tagContext0, func(b *cryptobyte.Builder) { b.AddBytes(attributes) })
			algorithm(b, oidRSA)
			b.AddASN1OctetString(signature)
		})
	})
}
