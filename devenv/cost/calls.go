package cost

import (
	"context"
	"fmt"
	"net/http"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/dayof/dayof/devenv/cluster"
	"github.com/dayof/dayof/internal/server"
)

func services() []string { return server.Services() }

// readCalls reads the metrics of all replicas: RPCs by procedure, and Stripe's deliveries.
func readCalls(ctx context.Context, m *cluster.Cluster) (rpcs map[string]int64, webhooks int64, err error) {
	rpcs = map[string]int64{}
	for _, url := range m.MetricsURLs() {
		families, err := readMetrics(ctx, url)
		if err != nil {
			return nil, 0, fmt.Errorf("read %s: %w", url, err)
		}
		for _, c := range families["rpc_requests_total"].GetMetric() {
			rpcs[label(c, "procedure")] += int64(c.GetCounter().GetValue())
		}
		for _, c := range families["webhook_deliveries_total"].GetMetric() {
			webhooks += int64(c.GetCounter().GetValue())
		}
	}
	return rpcs, webhooks, nil
}

func readMetrics(ctx context.Context, url string) (map[string]*dto.MetricFamily, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	parser := expfmt.NewTextParser(model.UTF8Validation)
	return parser.TextToMetricFamilies(res.Body)
}

func label(m *dto.Metric, name string) string {
	for _, l := range m.GetLabel() {
		if l.GetName() == name {
			return l.GetValue()
		}
	}
	return ""
}
