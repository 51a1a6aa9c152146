package passsvc_test

import (
	"bufio"
	"bytes"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/dayof/dayof/devenv/sandbox/apns"
	"github.com/dayof/dayof/internal/chassis/clock"
	"github.com/dayof/dayof/passsvc"
)

// rawClient asks for one thing again and again over one connection, and costs less than the answer: a bench of servers
// beside a client of net/http is mostly one of the client.
type rawClient struct {
	conn    net.Conn
	reader  *bufio.Reader
	request []byte
}

func newRawClient(b *testing.B, base, path string, header http.Header) *rawClient {
	b.Helper()
	address := strings.TrimPrefix(base, "http://")
	conn, err := new(net.Dialer).DialContext(b.Context(), "tcp", address)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { conn.Close() })
	var request bytes.Buffer
	fmt.Fprintf(&request, "GET %s HTTP/1.1\r\nHost: %s\r\n", path, address)
	if err := header.Write(&request); err != nil {
		b.Fatal(err)
	}
	request.WriteString("\r\n")
	return &rawClient{conn: conn, reader: bufio.NewReaderSize(conn, 64<<10), request: request.Bytes()}
}

// ask sends the request and reads the answer, which must have the status.
func (c *rawClient) ask(want int) error {
	if _, err := c.conn.Write(c.request); err != nil {
		return err
	}
	length := 0
	for first := true; ; first = false {
		line, err := c.reader.ReadSlice('\n')
		if err != nil {
			return err
		}
		if first && !bytes.HasPrefix(line, fmt.Appendf(nil, "HTTP/1.1 %d ", want)) {
			return fmt.Errorf("status %q, want %d", line, want)
		}
		if text, ok := bytes.CutPrefix(line, []byte("Content-Length: ")); ok {
			if length, err = strconv.Atoi(string(bytes.TrimSpace(text))); err != nil {
				return err
			}
		}
		if len(line) == 2 {
			_, err := c.reader.Discard(length)
			return err
		}
	}
}

// askAll lets clients ask count times each, at once, and returns how much of a core that took: servers and clients, but
// not Postgres.
func askAll(b *testing.B, clients []*rawClient, count, want int) time.Duration {
	b.Helper()
	began := coreTime(b)
	var wait sync.WaitGroup
	for _, c := range clients {
		wait.Go(func() {
			for range count {
				if err := c.ask(want); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wait.Wait()
	return coreTime(b) - began
}

// coreTime is what this process has used of cores, which does not count the time of others on a busy machine.
func coreTime(b *testing.B) time.Duration {
	b.Helper()
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		b.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

const (
	benchConnections = 8
	benchRequests    = 50 // of each connection and turn
)

func newRawClients(b *testing.B, base, path string, header http.Header) []*rawClient {
	b.Helper()
	var clients []*rawClient
	for range benchConnections {
		clients = append(clients, newRawClient(b, base, path, header))
	}
	return clients
}

// BenchmarkFetch compares cached answers with a bare handler that writes the same bytes. They take turns, so that a busy
// machine slows both alike.
func BenchmarkFetch(b *testing.B) {
	r := newService(b)
	p := r.issue(b, 1)[0]
	full := r.fetch(b, p)
	body := []byte(full.body)
	for _, status := range []int{http.StatusOK, http.StatusNotModified} {
		bare := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Etag", full.header.Get("Etag"))
			w.Header().Set("Last-Modified", full.header.Get("Last-Modified"))
			w.Header().Set("Cache-Control", "private, no-cache")
			w.Header().Set("Vary", "Authorization")
			if status == http.StatusOK {
				w.Header().Set("Content-Type", "application/vnd.apple.pkpass")
				w.Header().Set("Content-Length", strconv.Itoa(len(body)))
			}
			w.WriteHeader(status)
			if status == http.StatusOK {
				_, _ = w.Write(body)
			}
		}))
		b.Cleanup(bare.Close)
		header := http.Header{"Authorization": {"ApplePass " + p.GetAuthenticationToken()}}
		if status == http.StatusNotModified {
			header.Set("If-None-Match", p.GetEtag())
		}
		b.Run(strconv.Itoa(status), func(b *testing.B) {
			ours, theirs := newRawClients(b, r.url, passPath(p), header), newRawClients(b, bare.URL, passPath(p), header)
			var oursTook, theirsTook time.Duration
			turns := 0
			for ; b.Loop(); turns++ {
				oursTook += askAll(b, ours, benchRequests, status)
				theirsTook += askAll(b, theirs, benchRequests, status)
			}
			answers := float64(turns * benchConnections * benchRequests)
			b.ReportMetric(answers/oursTook.Seconds(), "answers/s")
			b.ReportMetric(answers/theirsTook.Seconds(), "bare-answers/s")
			b.ReportMetric(theirsTook.Seconds()/oursTook.Seconds(), "of-bare")
		})
	}
}

// BenchmarkFreshFetch fetches a pass that is not in memory: each answer is read, built and signed.
func BenchmarkFreshFetch(b *testing.B) {
	r := newService(b, func(c *passsvc.Config) { c.CacheBytes = 0 })
	p := r.issue(b, 1)[0]
	clients := newRawClients(b, r.url, passPath(p), http.Header{"Authorization": {"ApplePass " + p.GetAuthenticationToken()}})
	var took time.Duration
	turns := 0
	for ; b.Loop(); turns++ {
		took += askAll(b, clients, benchRequests, http.StatusOK)
	}
	b.ReportMetric(float64(turns*benchConnections*benchRequests)/took.Seconds(), "answers/s")
}

// BenchmarkIssuePasses issues orders of four tickets, 16 at once.
func BenchmarkIssuePasses(b *testing.B) {
	r := newService(b)
	var n atomic.Int64
	b.SetParallelism(8)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			order := n.Add(1)
			req := issueRequest(fmt.Sprintf("Order%016d", order), int(order)*4, 4)
			if _, err := r.client.IssuePasses(withKey(b.Context()), req); err != nil {
				b.Error(err)
				return
			}
		}
	})
}

// BenchmarkPush notifies the devices of a crowd, over real sockets, after all passes have changed.
func BenchmarkPush(b *testing.B) {
	server, useAPNs := newAPNs(b)
	r := newService(b, useAPNs, func(c *passsvc.Config) { c.PushCoalesce = time.Hour })
	r.crowd(b, b.N)
	batch := r.note(b, "x")
	r.start(b)
	until(b, "batch is done", func() bool { return r.batch(b, batch).GetEndTime() != nil })
	if _, err := r.pool.Exec(b.Context(), "update pushes set due_time = now()"); err != nil {
		b.Fatal(err)
	}
	began := clock.System{}.Now()
	b.ResetTimer()
	for accepted(server) < b.N {
		time.Sleep(200 * time.Millisecond) // looking copies the whole log
	}
	b.ReportMetric(float64(b.N)/clock.System{}.Now().Sub(began).Seconds(), "pushes/s")
}

// BenchmarkPushDelay measures from the answer to a change until APNs has the push, one after the other, without waiting for
// further changes.
func BenchmarkPushDelay(b *testing.B) {
	server, useAPNs := newAPNs(b, func(c *apns.Config) { c.Clock = clock.System{} })
	r := newService(b, useAPNs, func(c *passsvc.Config) { c.PushCoalesce = 0 }).start(b)
	p, d := r.issue(b, 1)[0], newDevice(1)
	r.register(b, d, p)
	var delays []time.Duration
	for b.Loop() {
		r.set(b, p.GetSerial(), "gate", strconv.Itoa(len(delays)))
		answered := clock.System{}.Now()
		until(b, "push", func() bool { return accepted(server) == len(delays)+1 })
		delays = append(delays, server.Pushes()[len(delays)].Time.Sub(answered))
	}
	slices.Sort(delays)
	milliseconds := func(share float64) float64 {
		return delays[int(share*float64(len(delays)-1))].Seconds() * 1000
	}
	b.ReportMetric(milliseconds(0.5), "p50-ms")
	b.ReportMetric(milliseconds(0.99), "p99-ms")
}

// BenchmarkBatch changes the passes of a crowd that has no devices.
func BenchmarkBatch(b *testing.B) {
	r := newService(b)
	r.crowd(b, b.N)
	if _, err := r.pool.Exec(b.Context(), "truncate registrations"); err != nil {
		b.Fatal(err)
	}
	batch := r.note(b, "x")
	began := clock.System{}.Now()
	b.ResetTimer()
	r.start(b)
	until(b, "batch is done", func() bool { return r.batch(b, batch).GetEndTime() != nil })
	b.ReportMetric(float64(b.N)/clock.System{}.Now().Sub(began).Seconds(), "passes/s")
}

// BenchmarkFanOut changes the passes of a crowd and pushes each change to its device, over real sockets, from the request to the last
// push that APNs takes.
func BenchmarkFanOut(b *testing.B) {
	server, useAPNs := newAPNs(b)
	r := newService(b, useAPNs)
	r.crowd(b, b.N)
	r.start(b)
	began := clock.System{}.Now()
	b.ResetTimer()
	r.note(b, "x")
	for accepted(server) < b.N {
		time.Sleep(200 * time.Millisecond) // looking copies the whole log
	}
	took := clock.System{}.Now().Sub(began).Seconds()
	b.ReportMetric(took, "s")
	b.ReportMetric(float64(b.N)/took, "passes/s")
}
