package client

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/dayof/dayof/devenv/sandbox/stripe"
)

const (
	// postAttemptsMax is how often a webhook is posted that finds nobody home; Stripe itself goes on for days.
	postAttemptsMax = 5
	postBackoff     = 200 * time.Millisecond
)

// PostWebhook signs a body as Stripe does and posts it to the account endpoint or to the Connect endpoint. It returns the
// status of the answer. Like Stripe it tries again after 5xx and when nobody answers, a few times.
func (c *Client) PostWebhook(ctx context.Context, body []byte, connect bool, now func() time.Time) (int, error) {
	url, secret := c.File.WebhookURL+"/webhooks/stripe", c.File.StripeWebhookSecret
	if connect {
		url, secret = url+"/connect", c.File.StripeConnectWebhookSecret
	}
	for attempt := 1; ; attempt++ {
		status, err := c.postSigned(ctx, url, stripe.Sign(secret, now(), body), body)
		if (err == nil && status < 500) || attempt == postAttemptsMax || ctx.Err() != nil {
			return status, err
		}
		select {
		case <-ctx.Done():
			return status, context.Cause(ctx)
		case <-time.After(postBackoff << (attempt - 1)):
		}
	}
}

func (c *Client) postSigned(ctx context.Context, url, signature string, body []byte) (int, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return 0, err
	}
	req.Header.Set("Content-Type", "application/json; charset=utf-8")
	req.Header.Set("Stripe-Signature", signature)
	res, err := c.HTTP.Do(req)
	if err != nil {
		return 0, fmt.Errorf("post webhook: %w", err)
	}
	defer res.Body.Close()
	_, err = io.Copy(io.Discard, io.LimitReader(res.Body, answerMax))
	return res.StatusCode, err
}
