package apns

import (
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"encoding/base64"
	"encoding/json"
	"math/big"
	"net/http"
	"slices"
	"strings"
	"time"
)

const (
	tokenLife  = time.Hour        // a provider token may be this old
	clockDrift = 10 * time.Minute // and this far in the future
)

// userID is the attribute of a pass certificate's subject that names the pass type.
var userID = asn1.ObjectIdentifier{0, 9, 2342, 19200300, 100, 1, 1}

// authenticate accepts a pass certificate for its own topic, or a provider token for a registered one.
func (s *Server) authenticate(r *http.Request, p *Push) *refusal {
	if bearer, ok := strings.CutPrefix(strings.ToLower(r.Header.Get("Authorization")), "bearer "); ok && bearer != "" {
		p.Auth = "token"
		return s.byToken(r.Header.Get("Authorization")[len("bearer "):], p)
	}
	if r.TLS == nil || len(r.TLS.PeerCertificates) == 0 {
		return &refusal{reason: "MissingProviderToken"}
	}
	p.Auth = "certificate"
	return s.byCertificate(r.TLS.PeerCertificates, p)
}

func (s *Server) byCertificate(chain []*x509.Certificate, p *Push) *refusal {
	leaf, now := chain[0], s.cfg.Clock.Now()
	topic := ""
	for _, name := range leaf.Subject.Names {
		if name.Type.Equal(userID) {
			topic, _ = name.Value.(string)
		}
	}
	if topic == "" || now.Before(leaf.NotBefore) || now.After(leaf.NotAfter) {
		return &refusal{reason: "BadCertificate"}
	}
	if s.cfg.ClientCAs != nil {
		options := x509.VerifyOptions{
			Roots: s.cfg.ClientCAs, Intermediates: x509.NewCertPool(), CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
		}
		for _, cert := range chain[1:] {
			options.Intermediates.AddCert(cert)
		}
		if _, err := leaf.Verify(options); err != nil {
			return &refusal{reason: "BadCertificate"}
		}
	}
	switch p.Topic {
	case "": // a certificate for one topic needs no header
		p.Topic = topic
	case topic:
	default:
		return &refusal{reason: "TopicDisallowed"}
	}
	return nil
}

func (s *Server) byToken(token string, p *Push) *refusal {
	invalid := &refusal{reason: "InvalidProviderToken"}
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return invalid
	}
	var header struct {
		Algorithm string `json:"alg"`
		KeyID     string `json:"kid"`
	}
	var claims struct {
		Issuer   string `json:"iss"`
		IssuedAt int64  `json:"iat"`
	}
	signature, err := base64.RawURLEncoding.DecodeString(parts[2])
	if err != nil || !decodePart(parts[0], &header) || !decodePart(parts[1], &claims) || header.Algorithm != "ES256" {
		return invalid
	}
	key, ok := s.cfg.SigningKeys[header.KeyID]
	if !ok || key.TeamID != claims.Issuer || !verifies(key.Public, parts[0]+"."+parts[1], signature) {
		return invalid
	}
	age := s.cfg.Clock.Now().Sub(time.Unix(claims.IssuedAt, 0))
	switch {
	case age > tokenLife:
		return &refusal{reason: "ExpiredProviderToken"}
	case age < -clockDrift:
		return invalid
	case p.Topic == "":
		return &refusal{reason: "MissingTopic"}
	case len(s.cfg.Topics) == 0 && !strings.HasPrefix(p.Topic, "pass."):
		return &refusal{reason: "BadTopic"}
	case len(s.cfg.Topics) > 0 && !slices.Contains(s.cfg.Topics, p.Topic):
		return &refusal{reason: "TopicDisallowed"}
	}
	return nil
}

func decodePart(part string, v any) bool {
	raw, err := base64.RawURLEncoding.DecodeString(part)
	return err == nil && json.Unmarshal(raw, v) == nil
}

// verifies checks an ES256 signature: r and s of 32 bytes each.
func verifies(key *ecdsa.PublicKey, signed string, signature []byte) bool {
	if len(signature) != 64 {
		return false
	}
	digest := sha256.Sum256([]byte(signed))
	return ecdsa.Verify(key, digest[:], new(big.Int).SetBytes(signature[:32]), new(big.Int).SetBytes(signature[32:]))
}
