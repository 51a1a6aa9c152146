package ledger_test

import (
	"fmt"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/dayof/dayof/internal/chassis/clock"
)

// sale is a transaction of three postings over four accounts, as a ticket sale
// makes. hot: all sales share the accounts of the clearing account and of the fees.
func sale(n int64, hot bool) map[string]any {
	clearing, fees := fmt.Sprintf("stripe:platform:%d", n), fmt.Sprintf("fees:%d", n)
	if hot {
		clearing, fees = "stripe:platform", "fees"
	}
	order := fmt.Sprintf("orders:o%d:payment", n)
	return map[string]any{
		"postings": []posting{
			usd(clearing, order, 11000),
			usd(order, fmt.Sprintf("organizers:g%d:payable", n), 10200),
			usd(order, fees, 800),
		},
		"reference": fmt.Sprintf("capture:%d", n),
		"metadata":  map[string]string{"order": fmt.Sprint(n)},
		"force":     true,
	}
}

// saleScript is the same sale as a script.
func saleScript(n int64, hot bool) map[string]any {
	clearing, fees := fmt.Sprintf("stripe:platform:%d", n), fmt.Sprintf("fees:%d", n)
	if hot {
		clearing, fees = "stripe:platform", "fees"
	}
	return map[string]any{
		"script": map[string]any{
			"plain": `vars {
 account $clearing
 account $order
 account $payable
 account $fees
 monetary $gross
 monetary $fee
}
send $gross (
 source = $clearing allowing unbounded overdraft
 destination = $order
)
send $fee (
 source = $order
 destination = $fees
)
send $gross - $fee (
 source = $order
 destination = $payable
)`,
			"vars": map[string]any{
				"clearing": clearing, "order": fmt.Sprintf("orders:o%d:payment", n), "payable": fmt.Sprintf("organizers:g%d:payable", n),
				"fees": fees, "gross": "USD/2 11000", "fee": "USD/2 800",
			},
		},
		"reference": fmt.Sprintf("capture:%d", n),
	}
}

// BenchmarkPost measures single posts with reference and key over HTTP.
func BenchmarkPost(b *testing.B) {
	bodies := map[string]func(int64, bool) map[string]any{"postings": sale, "script": saleScript}
	for _, kind := range []string{"postings", "script"} {
		for _, load := range []string{"spread", "hot"} {
			for _, callers := range []int{1, 8, 64} {
				b.Run(fmt.Sprintf("%s/%s/callers=%d", kind, load, callers), func(b *testing.B) {
					a := withLedger(b)
					measure(b, callers, 1, func(n int64) {
						got := a.call("POST", "/v2/l/transactions", bodies[kind](n, load == "hot"), "Idempotency-Key", fmt.Sprint(n))
						if got.status != http.StatusOK {
							b.Errorf("status %d: %s", got.status, got.text)
						}
					})
				})
			}
		}
	}
}

// BenchmarkBulk measures atomic bulks of 50 sales; an operation is a bulk.
func BenchmarkBulk(b *testing.B) {
	const size = 50
	for _, load := range []string{"spread", "hot"} {
		for _, callers := range []int{1, 4} {
			b.Run(fmt.Sprintf("%s/callers=%d", load, callers), func(b *testing.B) {
				a := withLedger(b)
				measure(b, callers, size, func(n int64) {
					elements := make([]any, size)
					for i := range elements {
						id := n*size + int64(i)
						elements[i] = map[string]any{"action": "CREATE_TRANSACTION", "ik": fmt.Sprint(id), "data": sale(id, load == "hot")}
					}
					if got := a.call("POST", "/v2/l/_bulk?atomic=true", elements); got.status != http.StatusOK {
						b.Errorf("status %d: %s", got.status, got.text)
					}
				})
			})
		}
	}
}

// measure runs b.N operations on so many callers and reports transactions per
// second and latencies.
func measure(b *testing.B, callers, perOperation int, operation func(n int64)) {
	b.Helper()
	var (
		next  atomic.Int64
		group sync.WaitGroup
		took  = make([]time.Duration, b.N)
	)
	watch := clock.System{}
	b.ResetTimer()
	start := watch.Now()
	for range callers {
		group.Go(func() {
			for {
				n := next.Add(1) - 1
				if n >= int64(b.N) {
					return
				}
				began := watch.Now()
				operation(n)
				took[n] = watch.Now().Sub(began)
			}
		})
	}
	group.Wait()
	elapsed := watch.Now().Sub(start)
	b.StopTimer()
	slices.Sort(took)
	b.ReportMetric(float64(b.N*perOperation)/elapsed.Seconds(), "tx/s")
	b.ReportMetric(float64(took[b.N/2].Microseconds())/1000, "p50-ms")
	b.ReportMetric(float64(took[b.N*99/100].Microseconds())/1000, "p99-ms")
	b.ReportMetric(0, "ns/op")
}
