package chaos

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/dayof/dayof/devenv/client"
	passv1 "github.com/dayof/dayof/gen/dayof/pass/v1"
)

// phonePoll is how soon a phone sees a push.
const phonePoll = 50 * time.Millisecond

// phone is a buyer's: it has the passes of one order, asks once when it gets them, and again only when it is told to.
type phone struct {
	orderID   string
	pushToken string
	mu        sync.Mutex
	etags     map[string]string // of what it shows, by serial
	tokens    map[string]string // authentication tokens by serial
}

// phones are all of them, by push token.
type phones struct {
	mu  sync.Mutex
	all map[string]*phone
}

// getPhone waits until the order is completed, adds its passes to a phone and registers it.
func (o *ordeal) getPhone(ctx context.Context, b *buyer, i int, orderID string) error {
	var passes []*passv1.Pass
	err := b.insist(ctx, func(c *client.Client) error {
		res, err := c.Passes.ListPasses(ctx, &passv1.ListPassesRequest{OrderId: orderID})
		if err == nil && len(res.GetPasses()) == 0 {
			err = fmt.Errorf("order %s has no passes yet", orderID)
		}
		passes = res.GetPasses()
		return err
	})
	if err != nil {
		return fmt.Errorf("get passes: %w", err)
	}
	p := &phone{orderID: orderID, pushToken: fmt.Sprintf("%064x", i+1), etags: map[string]string{}, tokens: map[string]string{}}
	for _, pass := range passes {
		p.tokens[pass.GetSerial()] = pass.GetAuthenticationToken()
	}
	o.phones.mu.Lock()
	o.phones.all[p.pushToken] = p
	o.phones.mu.Unlock()
	body := fmt.Appendf(nil, `{"pushToken":%q}`, p.pushToken)
	for serial, token := range p.tokens {
		err := b.insist(ctx, func(c *client.Client) error {
			path := fmt.Sprintf("/v1/devices/device%d/registrations/%s/%s", i, c.File.PassTypeIdentifier, serial)
			_, _, err := apple(ctx, c, http.MethodPost, path, token, body)
			return err
		})
		if err != nil {
			return fmt.Errorf("register: %w", err)
		}
	}
	return p.look(ctx, b)
}

// look fetches all passes of the phone.
func (p *phone) look(ctx context.Context, b *buyer) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	for serial, token := range p.tokens {
		err := b.insist(ctx, func(c *client.Client) error {
			status, etag, err := apple(ctx, c, http.MethodGet, "/v1/passes/"+c.File.PassTypeIdentifier+"/"+serial, token, nil)
			if err == nil && status == http.StatusOK {
				p.etags[serial] = etag
			}
			return err
		})
		if err != nil {
			return fmt.Errorf("fetch pass %s: %w", serial, err)
		}
	}
	return nil
}

// apple makes a call of Apple's web service; anything but 2xx is an error.
func apple(ctx context.Context, c *client.Client, method, path, token string, body []byte) (status int, etag string, err error) {
	req, err := http.NewRequestWithContext(ctx, method, c.File.PassURL+path, bytes.NewReader(body))
	if err != nil {
		return 0, "", err
	}
	req.Header.Set("Authorization", "ApplePass "+token)
	res, err := c.HTTP.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer res.Body.Close()
	if _, err := io.Copy(io.Discard, res.Body); err != nil {
		return 0, "", err
	}
	if res.StatusCode/100 != 2 {
		return res.StatusCode, "", fmt.Errorf("%s %s: %s", method, path, res.Status)
	}
	return res.StatusCode, res.Header.Get("ETag"), nil
}

// ring lets every phone that is pushed look, until ctx ends.
func (o *ordeal) ring(ctx context.Context) {
	heard := 0
	var looking sync.WaitGroup
	defer looking.Wait()
	for ctx.Err() == nil {
		pushes, err := o.pushLog(ctx)
		if err == nil {
			for _, push := range pushes[min(heard, len(pushes)):] {
				o.phones.mu.Lock()
				p := o.phones.all[strings.ToLower(push.DeviceToken)]
				o.phones.mu.Unlock()
				if p != nil && push.Status == http.StatusOK {
					o.report.Pushes++
					looking.Go(func() { o.tell(ctx, p) })
				}
			}
			heard = len(pushes)
		}
		rest(ctx, phonePoll)
	}
}

func (o *ordeal) tell(ctx context.Context, p *phone) {
	if err := p.look(ctx, o.newBuyer(0)); err != nil && ctx.Err() == nil {
		o.say("phone of order %s: %v", p.orderID, err)
	}
}

type pushed struct {
	DeviceToken string `json:"device_token"`
	Status      int    `json:"status"`
}

func (o *ordeal) pushLog(ctx context.Context) ([]pushed, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, o.cluster.File.Sandbox.APNsLogURL, nil)
	if err != nil {
		return nil, err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	var log []pushed
	return log, json.NewDecoder(res.Body).Decode(&log)
}

// judgePhones compares what each phone shows with what its passes are now.
func (o *ordeal) judgePhones(ctx context.Context) error {
	// What was pushed last may still be on its way to the phone.
	wrong, err := o.staleness(ctx)
	for tries := 0; err == nil && len(wrong) > 0 && tries < 20; tries++ {
		rest(ctx, settlePoll)
		wrong, err = o.staleness(ctx)
	}
	o.violated("phone_shows_the_truth", wrong...)
	o.report.Phones = len(o.phones.all)
	return err
}

func (o *ordeal) staleness(ctx context.Context) ([]string, error) {
	var wrong []string
	for _, p := range o.phones.all {
		now := &phone{etags: map[string]string{}, tokens: p.tokens}
		if err := now.look(ctx, o.newBuyer(0)); err != nil {
			return nil, err
		}
		p.mu.Lock()
		for serial, etag := range now.etags {
			if p.etags[serial] != etag {
				wrong = append(wrong, fmt.Sprintf("the phone of order %s shows pass %s as %s, it is %s", p.orderID, serial, p.etags[serial], etag))
			}
		}
		p.mu.Unlock()
	}
	return wrong, nil
}
