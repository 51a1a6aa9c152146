package ledgersvc_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/dayof/dayof/internal/chassis/clock"
	"github.com/dayof/dayof/ledgersvc"
)

// BenchmarkRecordSale measures sales through the front door: postings per second and the time of a call, on the sandbox
// ledger or the one at DAYOF_FORMANCE_URL. spread: each sale has an organiser of its own and no tax; hot: all sales meet
// in one organiser and one tax. single and bulk: each sale by itself, or gathered where they meet. From one command:
//
//	go test ./ledgersvc -run '^$' -bench RecordSale -benchtime 2000x
//
// The databases of tests do not sync to disk; DAYOF_TEST_DATABASE_URL names a server that does.
func BenchmarkRecordSale(b *testing.B) {
	for _, load := range []string{"spread", "hot"} {
		for _, mode := range []string{"single", "bulk"} {
			for _, callers := range []int{1, 8, 64} {
				b.Run(fmt.Sprintf("%s/%s/callers=%d", load, mode, callers), func(b *testing.B) {
					benchmarkSales(b, load == "hot", mode == "bulk", callers)
				})
			}
		}
	}
}

func benchmarkSales(b *testing.B, hot, bulk bool, callers int) {
	b.Helper()
	var c ledgersvc.Config
	c.Formance.BulkMax = 1
	if bulk {
		c.Formance.BulkMax = 50
	}
	w := newHarnessOn(b, newBooks(b), c)
	b.Logf("ledger: %s", ledgerUnderTest()) // without it a figure says nothing
	var next atomic.Int64
	sell := func(ctx context.Context) error {
		n := int(next.Add(1))
		req := sale(n)
		if !hot {
			req.Capture.OrganizerId = fmt.Sprintf("organizer%08d", n)
			req.Taxes = nil
		}
		_, err := w.client.RecordSale(keyed(ctx, fmt.Sprintf("sale-%d", n)), req)
		return err
	}
	for range 20 { // connections, prepared statements
		if err := sell(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
	var system clock.System
	took := make([][]time.Duration, callers)
	var left atomic.Int64
	left.Store(int64(b.N))
	b.ResetTimer()
	start := system.Now()
	var wg sync.WaitGroup
	for i := range callers {
		wg.Go(func() {
			for left.Add(-1) >= 0 {
				begin := system.Now()
				if err := sell(b.Context()); err != nil {
					b.Error(err)
					return
				}
				took[i] = append(took[i], system.Now().Sub(begin))
			}
		})
	}
	wg.Wait()
	elapsed := system.Now().Sub(start)
	b.StopTimer()
	all := slices.Concat(took...)
	slices.Sort(all)
	quantile := func(q float64) float64 { return float64(all[int(q*float64(len(all)-1))]) / float64(time.Millisecond) }
	b.ReportMetric(float64(len(all))/elapsed.Seconds(), "postings/s")
	b.ReportMetric(quantile(0.50), "p50-ms")
	b.ReportMetric(quantile(0.99), "p99-ms")
	b.ReportMetric(0, "ns/op") // says nothing with several callers
}
