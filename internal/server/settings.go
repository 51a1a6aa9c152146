package server

import (
	"cmp"
	"crypto/tls"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/dayof/dayof/internal/chassis/config"
	"github.com/dayof/dayof/internal/chassis/rpc"
)

// SettingPrefix is what the names of a service's own settings begin with.
func SettingPrefix(service string) string { return "DAYOF_" + strings.ToUpper(service) + "_" }

// common are the settings that every service has.
type common struct {
	listen         string
	databaseURL    string
	databaseConns  int
	operatorTokens []config.Secret
	corsOrigins    []string
	certificate    string
	key            string
	alertURL       string
	drainTimeout   time.Duration
	maxInFlight    int
	trustedProxies rpc.Proxies
	proxiesError   error // why DAYOF_TRUSTED_PROXIES cannot be read
}

// loadCommon declares the settings that every service has. Secrets and the database have no default.
func loadCommon(l *config.Loader, b builder) common {
	proxies, proxiesError := rpc.ParseProxies(l.String("DAYOF_TRUSTED_PROXIES", "",
		"networks of the proxies before the service, comma separated, such as 10.0.0.0/8; only theirs is the header X-Forwarded-For believed; empty believes nobody"))
	return common{
		trustedProxies: proxies, proxiesError: proxiesError,
		listen:      l.String(SettingPrefix(b.name)+"LISTEN", fmt.Sprintf("127.0.0.1:%d", b.port), "host:port to listen on"),
		databaseURL: loadDatabaseURL(l, b.name),
		databaseConns: l.Int("DAYOF_DATABASE_CONNECTIONS", 16,
			"connections to the database, per replica; background jobs and calls share them"),
		operatorTokens: l.SecretListRequired("DAYOF_OPERATOR_TOKEN",
			"bearer tokens of staff and of our own services, each of at least 32 characters, comma separated; the first is sent, all are accepted"),
		corsOrigins: splitList(l.String("DAYOF_CORS_ORIGINS", "",
			"browser origins that may call the services, comma separated, such as https://shop.example; empty allows none")),
		certificate: l.String("DAYOF_TLS_CERT_FILE", "", "PEM file of the server's certificate chain; empty serves without TLS"),
		key:         l.String("DAYOF_TLS_KEY_FILE", "", "PEM file of the certificate's key"),
		alertURL:    l.URL("DAYOF_ALERT_URL", "", "where alerts are posted to as JSON; empty keeps them as rows"),
		drainTimeout: l.Duration("DAYOF_DRAIN_TIMEOUT", 10*time.Second,
			"how long calls in flight may take to finish after SIGTERM"),
		maxInFlight: l.Int("DAYOF_MAX_IN_FLIGHT", 1024, "calls served at once before others are refused with resource_exhausted"),
	}
}

func loadDatabaseURL(l *config.Loader, service string) string {
	return l.SecretRequired(SettingPrefix(service)+"DATABASE_URL", "URL of the service's own Postgres database").Reveal()
}

// operatorTokenMin is the shortest operator token, in characters: 32 of base32 are 160 bits, which nobody guesses.
const operatorTokenMin = 32

// check finds settings that contradict each other, and tokens that can be guessed.
func (c common) check() error {
	for _, token := range c.operatorTokens {
		if len(token.Reveal()) < operatorTokenMin {
			return fmt.Errorf("DAYOF_OPERATOR_TOKEN: a token has fewer than %d characters; make one with: openssl rand -base64 32", operatorTokenMin)
		}
	}
	for _, origin := range c.corsOrigins {
		if err := checkOrigin(origin); err != nil {
			return fmt.Errorf("DAYOF_CORS_ORIGINS: %w", err)
		}
	}
	if c.proxiesError != nil {
		return fmt.Errorf("DAYOF_TRUSTED_PROXIES: %w", c.proxiesError)
	}
	if (c.certificate == "") != (c.key == "") {
		return errors.New("DAYOF_TLS_CERT_FILE and DAYOF_TLS_KEY_FILE are set both or not at all")
	}
	return nil
}

// checkOrigin refuses what no browser sends as its origin, and says how to write it: scheme, host and a port that is not the
// scheme's own, as RFC 6454, section 6.2, serialises an origin.
func checkOrigin(origin string) error {
	u, err := url.Parse(origin)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		host := strings.Trim(origin[strings.LastIndex(origin, "/")+1:], " ")
		if u, err := url.Parse("https://" + strings.TrimRight(origin, "/")); err == nil && u.Host != "" && !strings.Contains(origin, "//") {
			host = u.Host
		}
		return fmt.Errorf("%q is not an origin; write it with its scheme, as in https://%s", origin, cmp.Or(host, "shop.example"))
	}
	host := strings.ToLower(u.Host)
	if u.Scheme == "https" {
		host = strings.TrimSuffix(host, ":443")
	} else {
		host = strings.TrimSuffix(host, ":80")
	}
	if right := u.Scheme + "://" + host; origin != right {
		return fmt.Errorf("%q is not what browsers send; write %s", origin, right)
	}
	return nil
}

func (c common) tlsConfig() (*tls.Config, error) {
	if c.certificate == "" {
		return nil, nil //nolint:nilnil // no TLS
	}
	pair, err := tls.LoadX509KeyPair(c.certificate, c.key)
	if err != nil {
		return nil, fmt.Errorf("read TLS certificate: %w", err)
	}
	return &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}, nil
}

// operatorToken is the one that calls to our other services carry.
func (c common) operatorToken() config.Secret { return c.operatorTokens[0] }

// Settings returns the settings of a service, and whether each is set, in the order of their use.
func Settings(service string, getenv func(string) string) ([]config.Setting, error) {
	b, err := builderOf(service)
	if err != nil {
		return nil, err
	}
	return settingsOf(b, getenv), nil
}

func settingsOf(b builder, getenv func(string) string) []config.Setting {
	loader := config.New(getenv)
	loadCommon(loader, b)
	b.load(loader)
	return loader.Settings()
}

func splitList(text string) []string {
	var out []string
	for part := range strings.SplitSeq(text, ",") {
		if part = strings.TrimSpace(part); part != "" {
			out = append(out, part)
		}
	}
	return out
}

// testPrefix begins the names of settings of tests.
const testPrefix = "DAYOF_TEST_"

// elsewhere are settings that no service reads, but its program, `dayof up` and the embedded Postgres.
func elsewhere() []string {
	return []string{logLevelSetting, "DAYOF_DATABASE_URL", "DAYOF_POSTGRES_BIN", "DAYOF_POSTGRES_REPOSITORY"}
}

// CheckNames refuses names in environ (as os.Environ returns it) that begin with DAYOF_ and that neither a service nor
// `dayof up` knows, mostly misspelt ones.
func CheckNames(environ []string) error {
	loader := config.New(func(string) string { return "" })
	loader.Strict(withoutOthers(environ, nil))
	return loader.Err()
}

// withoutOthers drops what is a setting of another service or of another program from environ, so that all of them may
// share one environment. Own settings stay, and so does what nobody knows.
func withoutOthers(environ []string, own []config.Setting) []string {
	known := map[string]bool{}
	for _, name := range elsewhere() {
		known[name] = true
	}
	for _, b := range builders() {
		for _, s := range settingsOf(b, func(string) string { return "" }) {
			known[s.Name], known[s.Name+"_FILE"] = true, true
		}
	}
	for _, s := range own {
		delete(known, s.Name)
		delete(known, s.Name+"_FILE")
	}
	return slices.DeleteFunc(slices.Clone(environ), func(entry string) bool {
		name, _, _ := strings.Cut(entry, "=")
		return known[name] || strings.HasPrefix(name, testPrefix)
	})
}
