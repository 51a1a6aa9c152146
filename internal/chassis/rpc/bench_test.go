package rpc_test

import (
	"testing"

	"github.com/dayof/dayof/internal/chassis/rpc"
	"github.com/dayof/dayof/internal/chassis/rpc/testpb"
)

// BenchmarkCall is one call through client, connection, server and all interceptors, by callers per processor.
func BenchmarkCall(b *testing.B) {
	s := newServer(b, &notebook{}, nil)
	client := newClient(b, s, nil)
	req := &testpb.WriteRequest{Text: "hello", Lines: []*testpb.Line{{Quantity: 1}}}
	for name, callers := range map[string]int{"one": 1, "many": 32} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetParallelism(callers)
			b.RunParallel(func(pb *testing.PB) {
				ctx := rpc.WithIdempotencyKey(b.Context(), secretKey)
				for pb.Next() {
					if _, err := client.Write(ctx, req); err != nil {
						b.Error(err)
						return
					}
				}
			})
		})
	}
}
