package webhooksvc

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/dayof/dayof/internal/chassis/clock"
)

func zipped(t *testing.T, body []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	if _, err := w.Write(body); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// TestDrip sends a body so slowly that it never ends; each byte comes in time for a limit that would start anew.
func TestDrip(t *testing.T) {
	t.Parallel()
	w := newQuietHarness(t, func(c *Config, _ *Deps) { c.BodyTimeout = 300 * time.Millisecond })
	server := httptest.NewServer(w.Routes()[accountPath]) // without the limits of the chassis
	t.Cleanup(server.Close)
	conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: test\r\nContent-Length: 100000\r\n\r\n", accountPath); err != nil {
		t.Fatal(err)
	}
	answer := bufio.NewReader(conn)
	now := clock.System{}.Now // a deadline of the test's own
	deadline := now().Add(patience)
	for {
		_, writeErr := conn.Write([]byte(" "))
		if err := conn.SetReadDeadline(now().Add(20 * time.Millisecond)); err != nil {
			t.Fatal(err)
		}
		_, err := answer.Peek(1)
		if err == nil {
			break
		}
		var timeout net.Error
		if !errors.As(err, &timeout) || !timeout.Timeout() {
			t.Fatalf("cut off without an answer: %v, %v", err, writeErr)
		}
		if now().After(deadline) {
			t.Fatal("the drip was never cut off")
		}
	}
	if err := conn.SetReadDeadline(deadline); err != nil {
		t.Fatal(err)
	}
	res, err := http.ReadResponse(answer, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusRequestTimeout || !res.Close {
		t.Errorf("answer %d, connection closes: %v", res.StatusCode, res.Close)
	}
	if _, err := io.Copy(io.Discard, res.Body); err != nil {
		t.Error(err)
	}
	if _, err := answer.ReadByte(); err == nil {
		t.Error("the connection lives on")
	}
}
