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

// devicePoll is how often a device checks for pushes.
const devicePoll = 50 * time.Millisecond

// device is a buyer's: it has the passes of one order, fetches them once when it gets them, and again only after a push.
type device struct {
	orderID   string
	pushToken string
	mu        sync.Mutex
	etags     map[string]string // of what it shows, by serial
	tokens    map[string]string // authentication tokens by serial
}

// devices are all of them, by push token.
type devices struct {
	mu  sync.Mutex
	all map[string]*device
}

// addDevice waits until the order is completed, adds its passes to a device and registers it.
func (h *harness) addDevice(ctx context.Context, b *buyer, i int, orderID string) error {
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
	p := &device{orderID: orderID, pushToken: fmt.Sprintf("%064x", i+1), etags: map[string]string{}, tokens: map[string]string{}}
	for _, pass := range passes {
		p.tokens[pass.GetSerial()] = pass.GetAuthenticationToken()
	}
	h.devices.mu.Lock()
	h.devices.all[p.pushToken] = p
	h.devices.mu.Unlock()
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
	return p.fetch(ctx, b)
}

// fetch fetches all passes of the device.
func (p *device) fetch(ctx context.Context, b *buyer) error {
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

// handlePushes lets every device that is pushed fetch, until ctx ends.
func (h *harness) handlePushes(ctx context.Context) {
	handled := 0
	var fetching sync.WaitGroup
	defer fetching.Wait()
	for ctx.Err() == nil {
		pushes, err := h.pushLog(ctx)
		if err == nil {
			for _, push := range pushes[min(handled, len(pushes)):] {
				h.devices.mu.Lock()
				p := h.devices.all[strings.ToLower(push.DeviceToken)]
				h.devices.mu.Unlock()
				if p != nil && push.Status == http.StatusOK {
					h.report.Pushes++
					fetching.Go(func() { h.refresh(ctx, p) })
				}
			}
			handled = len(pushes)
		}
		rest(ctx, devicePoll)
	}
}

func (h *harness) refresh(ctx context.Context, p *device) {
	if err := p.fetch(ctx, h.newBuyer(0)); err != nil && ctx.Err() == nil {
		h.say("device of order %s: %v", p.orderID, err)
	}
}

type pushed struct {
	DeviceToken string `json:"device_token"`
	Status      int    `json:"status"`
}

func (h *harness) pushLog(ctx context.Context) ([]pushed, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, h.cluster.File.Sandbox.APNsLogURL, nil)
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

// checkDevices compares what each device shows with what its passes are now.
func (h *harness) checkDevices(ctx context.Context) error {
	// What was pushed last may still be on its way to the device.
	wrong, err := h.staleness(ctx)
	for tries := 0; err == nil && len(wrong) > 0 && tries < 20; tries++ {
		rest(ctx, settlePoll)
		wrong, err = h.staleness(ctx)
	}
	h.violated("device_shows_the_current_pass", wrong...)
	h.report.Devices = len(h.devices.all)
	return err
}

func (h *harness) staleness(ctx context.Context) ([]string, error) {
	var wrong []string
	for _, p := range h.devices.all {
		now := &device{etags: map[string]string{}, tokens: p.tokens}
		if err := now.fetch(ctx, h.newBuyer(0)); err != nil {
			return nil, err
		}
		p.mu.Lock()
		for serial, etag := range now.etags {
			if p.etags[serial] != etag {
				wrong = append(wrong, fmt.Sprintf("the device of order %s shows pass %s as %s, it is %s", p.orderID, serial, p.etags[serial], etag))
			}
		}
		p.mu.Unlock()
	}
	return wrong, nil
}
