package passsvc_test

import (
	"net/http"
	"strings"
	"testing"

	passv1 "github.com/dayof/dayof/gen/dayof/pass/v1"
	"github.com/dayof/dayof/internal/chassis/config"
	"github.com/dayof/dayof/passsvc"
)

const secondKey = "2:another-tests-only-key-0123456789-0123456789"

func withKeys(keys ...string) func(*passsvc.Config) {
	return func(c *passsvc.Config) {
		c.TokenKeys = nil
		for _, k := range keys {
			c.TokenKeys = append(c.TokenKeys, config.NewSecret(k))
		}
	}
}

// TestKeyRotation adds a key for new passes: tokens and links of old ones stay as they are.
func TestKeyRotation(t *testing.T) {
	t.Parallel()
	r := newService(t)
	old := r.issue(t, 1)[0]
	rotated := newReplica(t, r.pool, r.clock, withKeys(tokenKey, secondKey))
	fresh := rotated.issue(t, 2)
	if fresh[0].GetAuthenticationToken() != old.GetAuthenticationToken() || fresh[0].GetDownloadUrl() != old.GetDownloadUrl() {
		t.Error("an issued pass got another token")
	}
	if !strings.HasPrefix(fresh[1].GetAuthenticationToken(), "2.") {
		t.Errorf("a new pass got %.2s", fresh[1].GetAuthenticationToken())
	}
	for _, p := range fresh {
		if got := rotated.fetch(t, p); got.status != http.StatusOK {
			t.Errorf("%d", got.status)
		}
		if got := rotated.browse(t, p.GetDownloadUrl()); got.status != http.StatusOK {
			t.Errorf("%d", got.status)
		}
	}
	// Who has stolen the old key cannot make tokens for passes of the new one.
	thief := newReplica(t, r.pool, r.clock)
	res, err := thief.client.GetPass(t.Context(), &passv1.GetPassRequest{PassSerial: fresh[1].GetSerial()})
	if err == nil {
		t.Errorf("a replica without the key made %v", res)
	}
	forged := newReplica(t, r.pool, r.clock, withKeys(strings.Replace(tokenKey, "1:", "2:", 1)))
	res, err = forged.client.GetPass(t.Context(), &passv1.GetPassRequest{PassSerial: fresh[1].GetSerial()})
	if err != nil {
		t.Fatal(err)
	}
	asFirst := &passv1.Pass{
		PassTypeIdentifier: passType, Serial: fresh[1].GetSerial(),
		AuthenticationToken: "1" + res.GetPass().GetAuthenticationToken()[1:],
	}
	if got := rotated.fetch(t, asFirst); got.status != http.StatusUnauthorized {
		t.Errorf("a token of the old key opens a pass of the new one: %d", got.status)
	}
	if got := rotated.register(t, newDevice(1), asFirst); got != http.StatusUnauthorized {
		t.Errorf("register: %d", got)
	}
}

func TestBadConfiguration(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		edit func(c *passsvc.Config)
		want string
	}{
		"no token key":         {withKeys(), "no key is set"},
		"short token key":      {withKeys("1:short"), "shorter than 32"},
		"key version":          {withKeys("x:" + tokenKey), "write each key as version:secret"},
		"key version twice":    {withKeys(tokenKey, tokenKey), "is there twice"},
		"/v1":                  {func(c *passsvc.Config) { c.PublicURL = "https://pass.example/v1/" }, "must not end in /v1"},
		"no certificate":       {func(c *passsvc.Config) { c.Certificates = []config.Secret{config.NewSecret("x")} }, "no private key"},
		"organiser's type":     {withSetting("DAYOF_PASS_ORGANIZER_TYPES", "OrganizerOfOthers001"), "write each as organizer id=pass type"},
		"type of nobody":       {withSetting("DAYOF_PASS_ORGANIZER_TYPES", "a=pass.a, =pass.b"), "write each as organizer id=pass type"},
		"google without key":   {func(c *passsvc.Config) { c.Google.ServiceAccount = config.NewSecret("{}") }, "google wallet"},
		"certificates missing": {func(c *passsvc.Config) { c.Certificates = []config.Secret{config.NewSecret(onlyKey(t))} }, "no certificate in the bundle"},
	} {
		c := passsvc.LoadConfig(config.New(func(string) string { return "" }))
		c.TokenKeys = []config.Secret{config.NewSecret(tokenKey)}
		tc.edit(&c)
		_, err := passsvc.New(passsvc.Deps{Config: c, Logger: newLogger(t)})
		if err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// withSetting takes the pass types of organisers from the environment, as LoadConfig reads them.
func withSetting(name, value string) func(c *passsvc.Config) {
	return func(c *passsvc.Config) {
		c.OrganizerPassTypes = passsvc.LoadConfig(config.New(func(asked string) string {
			if asked == name {
				return value
			}
			return ""
		})).OrganizerPassTypes
	}
}

// onlyKey is the throw-away bundle without certificates.
func onlyKey(tb testing.TB) string {
	tb.Helper()
	key, _, _ := strings.Cut(string(newChain(tb).Bundle), "-----BEGIN CERTIFICATE")
	return key
}
