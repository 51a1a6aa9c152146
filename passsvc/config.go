package passsvc

import (
	"strings"
	"time"

	"github.com/dayof/dayof/internal/chassis/config"
)

// Config holds the settings of passsvc. LoadConfig knows the defaults.
type Config struct {
	// PublicURL is where devices and browsers reach this service, without a trailing slash. It is the webServiceURL of
	// every pass, so it must never change for installed passes.
	PublicURL string
	// PassType is the pass type of new passes; empty is the only one there is a certificate for.
	PassType string
	// OrganizerPassTypes are the pass types of organisers that have their own, by the organiser's id.
	OrganizerPassTypes map[string]string
	// Certificates are PEM bundles: key, Pass Type ID certificate, WWDR intermediate. Several of one pass type may
	// overlap; the newest valid one signs.
	Certificates []config.Secret
	// CertificateDir is a folder of further bundles (*.pem), read again every minute. Empty: none.
	CertificateDir string
	// TokenKeys are the keys of authentication tokens and signed links, each "version:secret".
	TokenKeys []config.Secret
	// CacheBytes is how much memory archives may take.
	CacheBytes int
	// RegistrationsMax is how many devices may be registered for one pass; a further one displaces the youngest that APNs does not know.
	RegistrationsMax int

	APNs APNsConfig
	// PushCoalesce is how long a push waits for further changes that the same device should hear of.
	PushCoalesce time.Duration
	// PushRetry is the wait after a push that got no useful answer; it doubles with each attempt.
	PushRetry time.Duration
	// PushStreams is how many pushes of a pass type are under way at once.
	PushStreams int
	// PushRate limits the pushes per second of a pass type in this process; 0 is no limit.
	PushRate int
	// BatchChunk is how many passes a batch changes in one transaction.
	BatchChunk int

	// LinkLifetime is how long after the end of an event its links open tickets and orders; 0: for ever.
	LinkLifetime time.Duration
	// SupportContact is a mail address or a URL that pages name for questions; empty names the organiser.
	SupportContact string

	Google GoogleConfig
	// BadgeDir is a folder with Apple's badges as svg by language ("de.svg"); empty shows a plain button.
	BadgeDir string
}

// APNsConfig says how to reach Apple's push service.
type APNsConfig struct {
	// URL is the base of the service. Passes always use production.
	URL string
	// RootsFile is a PEM file of roots to trust instead of the system's; for the sandbox.
	RootsFile string
	// AuthKey is the .p8 of a provider token, with its KeyID and TeamID. It serves the pass types of that team;
	// others, and all if it is absent, use their pass certificate.
	AuthKey config.Secret
	KeyID   string
	TeamID  string
	// PushType and Priority are sent as apns-push-type and apns-priority.
	PushType string
	Priority int
	// Expiration is for how long APNs keeps a push for a device that is offline.
	Expiration time.Duration
	// Timeout ends one push.
	Timeout time.Duration
	// Pause is how long the circuit breaker of a pass type stays open after APNs refused us.
	Pause time.Duration
}

// GoogleConfig says how to make links that save a ticket to Google Wallet.
type GoogleConfig struct {
	// ServiceAccount is the JSON key of a service account; absent: no links.
	ServiceAccount config.Secret
	// IssuerID is the issuer's number in Google's console.
	IssuerID string
}

// LoadConfig reads the settings of passsvc. The loader collects problems.
func LoadConfig(l *config.Loader) Config {
	c := Config{
		PublicURL: l.URL("DAYOF_PASS_PUBLIC_URL", "http://127.0.0.1:8290",
			"where devices reach passsvc, without /v1; it is written into every pass and must never change"),
		PassType:       l.String("DAYOF_PASS_TYPE", "", "pass type identifier of new passes; needed when there are certificates of several"),
		CertificateDir: l.String("DAYOF_PASS_CERTIFICATE_DIR", "", "folder of PEM bundles (*.pem: key, pass certificate, WWDR intermediate), read again every minute"),
		TokenKeys: l.SecretListRequired("DAYOF_PASS_TOKEN_KEYS",
			"keys of authentication tokens and links, each version:secret with at least 32 characters; keep old ones as long as passes live"),
		CacheBytes:       l.Int("DAYOF_PASS_CACHE_BYTES", 256<<20, "memory for built archives, in bytes"),
		RegistrationsMax: l.Int("DAYOF_PASS_REGISTRATIONS_MAX", 50, "devices per pass; a further one displaces the youngest that APNs has taken no push for"),
		APNs: APNsConfig{
			URL:        l.URL("DAYOF_PASS_APNS_URL", "https://api.push.apple.com", "Apple's push service; passes have no sandbox at Apple"),
			RootsFile:  l.String("DAYOF_PASS_APNS_ROOTS_FILE", "", "PEM file of roots to trust for it instead of the system's"),
			AuthKey:    l.Secret("DAYOF_PASS_APNS_AUTH_KEY", "provider token key (.p8) for the pass types of one team; absent: the pass certificate"),
			KeyID:      l.String("DAYOF_PASS_APNS_KEY_ID", "", "key id of the provider token key"),
			TeamID:     l.String("DAYOF_PASS_APNS_TEAM_ID", "", "team of the provider token key"),
			PushType:   l.String("DAYOF_PASS_APNS_PUSH_TYPE", "background", "apns-push-type; Apple lists none for passes, background and alert are accepted"),
			Priority:   l.Int("DAYOF_PASS_APNS_PRIORITY", 5, "apns-priority; background demands 5"),
			Expiration: l.Duration("DAYOF_PASS_APNS_EXPIRATION", 24*time.Hour, "how long APNs keeps a push for a phone that is away"),
			Timeout:    l.Duration("DAYOF_PASS_APNS_TIMEOUT", 10*time.Second, "longest time of one push"),
			Pause:      l.Duration("DAYOF_PASS_APNS_PAUSE", 30*time.Second, "how long no push is sent after APNs refused our certificate or topic"),
		},
		PushCoalesce: l.Duration("DAYOF_PASS_PUSH_COALESCE", 200*time.Millisecond, "how long a push waits for further changes for the same device"),
		PushRetry:    l.Duration("DAYOF_PASS_PUSH_RETRY", time.Second, "wait after a push that got no useful answer; it doubles with each attempt"),
		PushStreams:  l.Int("DAYOF_PASS_PUSH_STREAMS", 64, "pushes of a pass type under way at once"),
		PushRate:     l.Int("DAYOF_PASS_PUSH_RATE", 0, "pushes per second of a pass type and replica; 0 is no limit"),
		BatchChunk:   l.Int("DAYOF_PASS_BATCH_CHUNK", 500, "passes that a batch changes in one transaction"),
		LinkLifetime: l.Duration("DAYOF_PASS_LINK_LIFETIME", 0,
			"how long after the end of an event its links open tickets and orders; 0s is for ever. Passes in wallets stay"),
		SupportContact: l.String("DAYOF_PASS_SUPPORT_CONTACT", "",
			"mail address or URL that pages name for questions; empty names the organiser"),
		Google: GoogleConfig{
			ServiceAccount: l.Secret("DAYOF_PASS_GOOGLE_SERVICE_ACCOUNT", "JSON key of a Google service account; absent: no links to Google Wallet"),
			IssuerID:       l.String("DAYOF_PASS_GOOGLE_ISSUER_ID", "", "issuer number in the Google Wallet console"),
		},
		BadgeDir: l.String("DAYOF_PASS_BADGE_DIR", "",
			"folder with Apple's Add to Apple Wallet badges by language (en.svg); empty shows a plain button, because the badge is Apple's to give"),
	}
	c.OrganizerPassTypes = passTypesByOrganizer(l.String("DAYOF_PASS_ORGANIZER_TYPES", "",
		"organisers with a pass type of their own, by id: OrganizerOfNachtwerk=pass.org.nachtwerk,OrganizerOfOthers001=pass.org.other"))
	if bundle := l.Secret("DAYOF_PASS_CERTIFICATE", "one PEM bundle: key, pass certificate, WWDR intermediate"); bundle.IsSet() {
		c.Certificates = append(c.Certificates, bundle)
	}
	return c
}

// passTypesByOrganizer reads "id=pass type" pairs, separated by commas. What is no pair has an empty pass type, which New
// refuses.
func passTypesByOrganizer(text string) map[string]string {
	types := map[string]string{}
	for pair := range strings.SplitSeq(text, ",") {
		id, passType, _ := strings.Cut(pair, "=")
		if pair = strings.TrimSpace(pair); pair != "" {
			types[strings.TrimSpace(id)] = strings.TrimSpace(passType)
		}
	}
	return types
}
