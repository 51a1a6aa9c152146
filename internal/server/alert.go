package server

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/dayof/dayof/internal/chassis/alert"
)

// alertTimeout bounds the delivery of one alert.
const alertTimeout = 10 * time.Second

// postedAlert is an alert as it is posted. Kind and subject identify an incident: a receiver may get the same one twice.
type postedAlert struct {
	ID           int64          `json:"id"`
	Kind         string         `json:"kind"`
	Subject      string         `json:"subject"`
	Facts        map[string]any `json:"facts"`
	Link         string         `json:"link"`
	OpenedTime   time.Time      `json:"opened_time"`
	ResolvedTime *time.Time     `json:"resolved_time,omitempty"`
}

// alertSender posts alerts to a URL; without one they stay rows.
func alertSender(receiver string) alert.Sender {
	if receiver == "" {
		return nil
	}
	client := &http.Client{Timeout: alertTimeout}
	return func(ctx context.Context, a alert.Alert) error {
		body, err := json.Marshal(postedAlert{
			ID: a.ID, Kind: a.Kind, Subject: a.Subject, Facts: a.Facts, Link: a.Link,
			OpenedTime: a.OpenedTime, ResolvedTime: a.ResolvedTime,
		})
		if err != nil {
			return fmt.Errorf("write alert: %w", err)
		}
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, receiver, bytes.NewReader(body))
		if err != nil {
			return fmt.Errorf("post alert: %w", withoutURL(err))
		}
		req.Header.Set("Content-Type", "application/json")
		res, err := client.Do(req)
		if err != nil {
			return fmt.Errorf("post alert: %w", withoutURL(err))
		}
		defer res.Body.Close()
		if res.StatusCode/100 != 2 {
			return fmt.Errorf("post alert: the receiver answers %s", res.Status)
		}
		return nil
	}
}

// withoutURL drops the address from an error of a request: that of a chat's channel is as good as a password.
func withoutURL(err error) error {
	if failed, ok := errors.AsType[*url.Error](err); ok {
		return failed.Err
	}
	return err
}
