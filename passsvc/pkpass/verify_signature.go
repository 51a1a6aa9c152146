package pkpass

import (
	"bytes"
	"crypto/sha1" //nolint:gosec // what old signers use; it is warned of
	"crypto/sha256"
	"crypto/x509"
	"strings"
	"time"

	"github.com/smallstep/pkcs7"
	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// signature checks the CMS message, who signed it, and whether that fits pass.json. Each part is checked even when
// another is wrong.
func (v *verifier) signature() {
	data, ok := v.files[signatureFile]
	switch {
	case !ok:
		v.refuse(signatureFile, "is missing")
		return
	case bytes.HasPrefix(bytes.TrimSpace(data), []byte("-----BEGIN")):
		v.refuse(signatureFile, "is PEM; it must be DER (openssl: -outform DER)")
		return
	case bytes.HasPrefix(data, []byte("MIME-Version")):
		v.refuse(signatureFile, "is an S/MIME text; it must be the bare message in DER (openssl: -outform DER)")
		return
	}
	message, err := pkcs7.Parse(data)
	if err != nil {
		v.refuse(signatureFile, "is not a CMS (PKCS #7) message in DER: %v", err)
		return
	}
	if len(message.Content) > 0 {
		v.refuse(signatureFile, "contains what it signs; it must be detached")
	}
	if len(message.Signers) != 1 {
		v.refuse(signatureFile, "has %d signers; it must have one", len(message.Signers))
		return
	}
	v.digest(message)
	signed := v.signingTime(message)
	leaf := message.GetOnlySigner()
	if leaf == nil {
		v.refuse(signatureFile, "does not contain the certificate of its signer")
		return
	}
	message.Content = v.files[manifestFile]
	if err := leaf.CheckSignature(signatureAlgorithm(message), signedBytes(data), message.Signers[0].EncryptedDigest); err != nil {
		v.refuse(signatureFile, "was not made by the key of its certificate, or was changed afterwards")
	}
	v.identity(leaf)
	v.chain(leaf, message.Certificates, signed)
}

// digest compares the signed digest with the manifest.
func (v *verifier) digest(message *pkcs7.PKCS7) {
	var signed []byte
	if err := message.UnmarshalSignedAttribute(pkcs7.OIDAttributeMessageDigest, &signed); err != nil {
		v.refuse(signatureFile, "does not state the digest of the manifest as signed attribute")
		return
	}
	manifest := v.files[manifestFile]
	algorithm := message.Signers[0].DigestAlgorithm.Algorithm
	var actual []byte
	switch {
	case algorithm.Equal(pkcs7.OIDDigestAlgorithmSHA256):
		sum := sha256.Sum256(manifest)
		actual = sum[:]
	case algorithm.Equal(pkcs7.OIDDigestAlgorithmSHA1):
		sum := sha1.Sum(manifest) //nolint:gosec // see above
		actual = sum[:]
		v.warn(signatureFile, "uses SHA-1, which Apple may stop to accept; use SHA-256")
	default:
		v.refuse(signatureFile, "uses the digest %v; use SHA-256", algorithm)
		return
	}
	if !bytes.Equal(signed, actual) {
		v.refuse(signatureFile, "is of another manifest.json: the manifest was changed after signing")
	}
}

// signingTime returns the stated time, zero if there is none.
func (v *verifier) signingTime(message *pkcs7.PKCS7) time.Time {
	var signed time.Time
	if err := message.UnmarshalSignedAttribute(pkcs7.OIDAttributeSigningTime, &signed); err != nil {
		v.refuse(signatureFile, "does not state when it was made; iOS wants the signing time as signed attribute")
		return time.Time{}
	}
	v.report.SigningTime = signed.UTC()
	if signed.After(v.options.Now.Add(24 * time.Hour)) {
		v.warn(signatureFile, "says it was made at %s, which is in the future", signed.Format(time.RFC3339))
	}
	return signed
}

// signedBytes returns the signed attributes of a message in DER as a SET OF, which is what was signed (RFC 5652, 5.4), nil
// if there are none. They stay in the order in which they are: node-forge does not sort them, and neither iOS nor openssl
// mind.
func signedBytes(message []byte) []byte {
	der := cryptobyte.String(message)
	var contentInfo, wrapped, signedData, signers, signer, attributes cryptobyte.String
	var there bool
	ok := der.ReadASN1(&contentInfo, tagSequence) &&
		contentInfo.SkipASN1(cbasn1.OBJECT_IDENTIFIER) &&
		contentInfo.ReadASN1(&wrapped, tagContext0) &&
		wrapped.ReadASN1(&signedData, tagSequence) &&
		signedData.SkipASN1(cbasn1.INTEGER) && // version
		signedData.SkipASN1(tagSet) && // digest algorithms
		signedData.SkipASN1(tagSequence) && // content
		signedData.SkipOptionalASN1(tagContext0) && // certificates
		signedData.SkipOptionalASN1(tagContext1) && // revocation lists
		signedData.ReadASN1(&signers, tagSet) &&
		signers.ReadASN1(&signer, tagSequence) &&
		signer.SkipASN1(cbasn1.INTEGER) && // version
		signer.ReadAnyASN1(new(cryptobyte.String), new(cbasn1.Tag)) && // name of the signer
		signer.SkipASN1(tagSequence) && // digest algorithm
		signer.ReadOptionalASN1(&attributes, &there, tagContext0)
	if !ok || !there {
		return nil
	}
	var set cryptobyte.Builder
	set.AddASN1(tagSet, func(b *cryptobyte.Builder) { b.AddBytes(attributes) })
	return set.BytesOrPanic()
}

func signatureAlgorithm(message *pkcs7.PKCS7) x509.SignatureAlgorithm {
	sha256Digest := message.Signers[0].DigestAlgorithm.Algorithm.Equal(pkcs7.OIDDigestAlgorithmSHA256)
	ecdsa := !message.Signers[0].DigestEncryptionAlgorithm.Algorithm.Equal(pkcs7.OIDEncryptionAlgorithmRSA) &&
		strings.HasPrefix(message.Signers[0].DigestEncryptionAlgorithm.Algorithm.String(), "1.2.840.10045")
	switch {
	case ecdsa && sha256Digest:
		return x509.ECDSAWithSHA256
	case sha256Digest:
		return x509.SHA256WithRSA
	default:
		return x509.SHA1WithRSA
	}
}

// identity compares the certificate's subject with pass.json.
func (v *verifier) identity(leaf *x509.Certificate) {
	passType, team := subjectIdentifiers(leaf.Subject)
	if passType == "" {
		v.refuse(signatureFile, "was made with a certificate that is not for passes: its subject (%s) has no UID with a pass type", leaf.Subject)
	} else if v.report.PassTypeIdentifier != "" && passType != v.report.PassTypeIdentifier {
		v.refuse(passFile, "passTypeIdentifier is %q, but the certificate is for %q", v.report.PassTypeIdentifier, passType)
	}
	if v.report.TeamIdentifier != "" && team != v.report.TeamIdentifier {
		v.refuse(passFile, "teamIdentifier is %q, but the certificate is of team %q", v.report.TeamIdentifier, team)
	}
}

// chain checks validity and issuers.
func (v *verifier) chain(leaf *x509.Certificate, certificates []*x509.Certificate, signed time.Time) {
	now := v.options.Now
	switch {
	case now.After(leaf.NotAfter):
		v.refuse(signatureFile, "the pass certificate expired at %s: renew it and sign again", leaf.NotAfter.Format(time.RFC3339))
	case now.Before(leaf.NotBefore):
		v.refuse(signatureFile, "the pass certificate is not valid before %s", leaf.NotBefore.Format(time.RFC3339))
	}
	if !signed.IsZero() && (signed.Before(leaf.NotBefore) || signed.After(leaf.NotAfter)) {
		v.refuse(signatureFile, "says it was made at %s, when its certificate was not valid", signed.Format(time.RFC3339))
	}
	issuer := v.issuer(leaf, certificates)
	if issuer == nil {
		return
	}
	if now.After(issuer.NotAfter) {
		v.refuse(signatureFile, "the WWDR intermediate %s expired at %s: use the present generation", name(issuer), issuer.NotAfter.Format(time.RFC3339))
	}
	if v.options.Roots == nil {
		if !isApple(issuer) {
			v.warn(signatureFile, "the certificate was not issued by Apple but by %q: fine for development, no iPhone trusts it", name(issuer))
		}
		return
	}
	intermediates := x509.NewCertPool()
	for _, c := range certificates {
		intermediates.AddCert(c)
	}
	_, err := leaf.Verify(x509.VerifyOptions{
		Roots: v.options.Roots, Intermediates: intermediates, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
	})
	if err != nil {
		v.refuse(signatureFile, "the trust chain could not be verified up to a trusted root: %v", err)
	}
}

// issuer returns the certificate that issued leaf, or says what is there instead.
func (v *verifier) issuer(leaf *x509.Certificate, certificates []*x509.Certificate) *x509.Certificate {
	var others []string
	for _, c := range certificates {
		if c.Equal(leaf) {
			continue
		}
		if leaf.CheckSignatureFrom(c) == nil {
			return c
		}
		others = append(others, name(c))
	}
	if len(others) == 0 {
		v.refuse(signatureFile, "lacks the WWDR intermediate %q that issued the certificate", leaf.Issuer.String())
	} else {
		v.refuse(signatureFile, "contains %q, but the certificate was issued by %q: use the WWDR intermediate of that generation",
			strings.Join(others, ", "), leaf.Issuer.String())
	}
	return nil
}

func isApple(c *x509.Certificate) bool {
	return strings.Contains(c.Subject.String(), "Apple")
}

func name(c *x509.Certificate) string {
	if c.Subject.CommonName != "" {
		return c.Subject.CommonName
	}
	return c.Subject.String()
}
