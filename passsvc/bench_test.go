package passsvc_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/dayof/dayof/internal/chassis/clock"
	"github.com/dayof/dayof/passsvc"
)

// serveBench measures answers of a handler over real sockets. paths are asked for in turn.
func serveBench(b *testing.B, base string, paths []string, header http.Header, want int) {
	b.Helper()
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}}
	b.Cleanup(client.CloseIdleConnections)
	var next atomic.Int64
	b.SetParallelism(8)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			req, err := http.NewRequestWithContext(context.Background(), http.MethodGet, base+paths[int(next.Add(1))%len(paths)], nil)
			if err != nil {
				b.Error(err)
				return
			}
			req.Header = header
			res, err := client.Do(req)
			if err != nil {
				b.Error(err)
				return
			}
			_, err = io.Copy(io.Discard, res.Body)
			res.Body.Close()
			if err != nil || res.StatusCode != want {
				b.Errorf("%d, %v", res.StatusCode, err)
				return
			}
		}
	})
}

// BenchmarkFetch compares cached answers with a bare handler that writes the same bytes.
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
				w.Header().Set("Content-Length", fmt.Sprint(len(body)))
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
		b.Run(fmt.Sprintf("%d/ours", status), func(b *testing.B) { serveBench(b, r.url, []string{passPath(p)}, header, status) })
		b.Run(fmt.Sprintf("%d/bare", status), func(b *testing.B) { serveBench(b, bare.URL, []string{passPath(p)}, header, status) })
	}
}

// BenchmarkFreshArchive fetches passes that nobody has fetched before: each is built and signed.
func BenchmarkFreshArchive(b *testing.B) {
	r := newService(b, func(c *passsvc.Config) { c.CacheBytes = 0 })
	p := r.issue(b, 1)[0]
	header := http.Header{"Authorization": {"ApplePass " + p.GetAuthenticationToken()}}
	serveBench(b, r.url, []string{passPath(p)}, header, http.StatusOK)
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

// BenchmarkPush tells the devices of a crowd, over real sockets, after all passes have changed.
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
