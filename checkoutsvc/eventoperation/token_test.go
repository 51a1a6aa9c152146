package eventoperation

import (
	"strings"
	"testing"
	"time"

	"github.com/dayof/dayof/internal/chassis/config"
	"github.com/dayof/dayof/internal/chassis/problem"
)

// TestConfirmationTokens has a token fit its plan for as long as it lives, and nothing else.
func TestConfirmationTokens(t *testing.T) {
	t.Parallel()
	keys, err := NewKeys([]config.Secret{config.NewSecret("1:" + strings.Repeat("k", 32))})
	if err != nil {
		t.Fatal(err)
	}
	others, err := NewKeys([]config.Secret{config.NewSecret("1:" + strings.Repeat("o", 32))})
	if err != nil {
		t.Fatal(err)
	}
	now := time.Date(2027, 1, 2, 3, 4, 5, 6, time.UTC)
	p := plan{kind: kindMove, eventID: "e1", scheduleNumber: 4, asked: times{start: now.AddDate(0, 1, 0)}}
	expire := now.Add(tokenLifetime)
	token := keys.sign(p, expire)
	change := func(f func(p *plan)) plan {
		changed := p
		f(&changed)
		return changed
	}
	for name, tc := range map[string]struct {
		keys  Keys
		token string
		plan  plan
		at    time.Time
		want  string
	}{
		"as signed":        {keys, token, p, now, ""},
		"until it expires": {keys, token, p, expire.Add(-time.Second), ""},
		"expired":          {keys, token, p, expire, "CONFIRMATION_TOKEN_INVALID"},
		"other key":        {others, token, p, now, "CONFIRMATION_TOKEN_INVALID"},
		"empty":            {keys, "", p, now, "CONFIRMATION_TOKEN_INVALID"},
		"longer life":      {keys, strings.Replace(token, "_1", "_2", 1), p, now, "CONFIRMATION_TOKEN_INVALID"},
		"other event":      {keys, token, change(func(p *plan) { p.eventID = "e2" }), now, "CONFIRMATION_TOKEN_INVALID"},
		"other kind":       {keys, token, change(func(p *plan) { p.kind = kindCancel }), now, "CONFIRMATION_TOKEN_INVALID"},
		"other doors":      {keys, token, change(func(p *plan) { p.asked.doors = new(now) }), now, "CONFIRMATION_TOKEN_INVALID"},
		"other end":        {keys, token, change(func(p *plan) { p.asked.end = now }), now, "CONFIRMATION_TOKEN_INVALID"},
		"moved since":      {keys, token, change(func(p *plan) { p.scheduleNumber = 5 }), now, "EVENT_SCHEDULE_CHANGED"},
	} {
		if got := problem.Reason(tc.keys.check(tc.token, tc.plan, tc.at)); got != tc.want {
			t.Errorf("%s: reason %q, want %q", name, got, tc.want)
		}
	}
}
