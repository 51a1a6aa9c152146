package ledgersvc_test

import (
	"encoding/csv"
	"slices"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/timestamppb"

	ledgerv1 "github.com/dayof/dayof/gen/dayof/ledger/v1"
	moneyv1 "github.com/dayof/dayof/gen/dayof/money/v1"
)

// export reads all pages of a statement's file and returns the lines below the head.
func (w *harness) export(req *ledgerv1.ExportStatementRequest) []map[string]string {
	w.t.Helper()
	var text strings.Builder
	for {
		res, err := w.statements.ExportStatement(w.t.Context(), req)
		if err != nil {
			w.t.Fatal(err)
		}
		text.WriteString(res.GetCsv())
		if req.PageToken = res.GetNextPageToken(); req.PageToken == "" {
			break
		}
	}
	rows, err := csv.NewReader(strings.NewReader(text.String())).ReadAll()
	if err != nil {
		w.t.Fatal(err)
	}
	var lines []map[string]string
	for _, row := range rows[1:] {
		line := map[string]string{}
		for i, column := range rows[0] {
			line[column] = row[i]
		}
		lines = append(lines, line)
	}
	return lines
}

// TestExportStatement writes the same entries as statements of an order, an account, an organiser and a day, in pages of
// every size, with amounts that no float holds.
func TestExportStatement(t *testing.T) {
	t.Parallel()
	w := newHarness(t)
	const huge = 1<<53 + 1
	for n, amount := range []*moneyv1.Money{eur(huge), {Currency: "JPY", MinorUnits: huge}, {Currency: "KWD", MinorUnits: 1}, eur(5)} {
		req := sale(n)
		req.ApplicationFeeMinorUnits, req.Taxes = 0, nil
		req.Capture.Gross = amount
		req.Capture.CaptureTime = timestamppb.New(noon.Add(time.Duration(n) * 8 * time.Hour)) // the last two are of the next day
		must[*ledgerv1.RecordSaleResponse](t)(w.client.RecordSale(w.fresh(), req))
	}
	shown := func(lines []map[string]string) []string {
		var out []string
		for _, l := range lines {
			out = append(out, l["reference"]+" "+l["minor_units"]+" "+l["amount"]+" "+l["currency"])
		}
		return out
	}
	all := []string{
		"capture:pi_0 9007199254740993 90071992547409.93 EUR", "capture:pi_1 9007199254740993 9007199254740993 JPY",
		"capture:pi_2 1 0.001 KWD", "capture:pi_3 5 0.05 EUR",
	}
	twice := func(lines ...string) (out []string) { // to the order, and on to the organiser
		for _, l := range lines {
			out = append(out, l, l)
		}
		return out
	}
	for size := int32(1); size <= 5; size++ {
		for name, c := range map[string]struct {
			req  *ledgerv1.ExportStatementRequest
			want []string
		}{
			"order":     {&ledgerv1.ExportStatementRequest{Subject: &ledgerv1.ExportStatementRequest_OrderId{OrderId: order(0)}}, twice(all[0])},
			"organizer": {&ledgerv1.ExportStatementRequest{Subject: &ledgerv1.ExportStatementRequest_OrganizerId{OrganizerId: organizer}}, twice(all...)},
			"account": {&ledgerv1.ExportStatementRequest{
				Subject: &ledgerv1.ExportStatementRequest_Account{Account: "organizers:" + organizer + ":payable"},
			}, all},
			"day":      {&ledgerv1.ExportStatementRequest{Subject: &ledgerv1.ExportStatementRequest_Day{Day: "2026-05-01"}}, twice(all[:2]...)},
			"next day": {&ledgerv1.ExportStatementRequest{Subject: &ledgerv1.ExportStatementRequest_Day{Day: "2026-05-02"}}, twice(all[2:]...)},
		} {
			c.req.PageSize = size
			if got := shown(w.export(c.req)); !slices.Equal(got, c.want) {
				t.Errorf("%s in pages of %d: got %q, want %q", name, size, got, c.want)
			}
		}
	}
	lines := w.export(&ledgerv1.ExportStatementRequest{Subject: &ledgerv1.ExportStatementRequest_OrderId{OrderId: order(0)}})
	if l := lines[0]; l["kind"] != "sale" || l["order_id"] != order(0) || l["effective_time"] != "2026-05-01T12:00:00.123456Z" || l["asset"] != "EUR/2" ||
		l["destination"] != "orders:"+order(0)+":payment" {
		t.Errorf("a line says %v", l)
	}
}

// TestStatementsInPages pages through an organiser's and a day's entries: each comes once.
func TestStatementsInPages(t *testing.T) {
	t.Parallel()
	w := newHarness(t)
	var want []string
	for n := range 7 {
		must[*ledgerv1.RecordSaleResponse](t)(w.client.RecordSale(w.fresh(), sale(n))) // all at one time
		want = append(want, "capture:"+intent(n))
	}
	var of, on []string
	byOrganizer := &ledgerv1.GetOrganizerStatementRequest{OrganizerId: organizer, PageSize: 3}
	byDay := &ledgerv1.GetDayStatementRequest{Day: "2026-05-01", PageSize: 2}
	for first := true; first || byOrganizer.GetPageToken() != ""; first = false {
		res := must[*ledgerv1.GetOrganizerStatementResponse](t)(w.statements.GetOrganizerStatement(t.Context(), byOrganizer))
		for _, e := range res.GetEntries() {
			of = append(of, e.GetReference())
		}
		byOrganizer.PageToken = res.GetNextPageToken()
	}
	for first := true; first || byDay.GetPageToken() != ""; first = false {
		res := must[*ledgerv1.GetDayStatementResponse](t)(w.statements.GetDayStatement(t.Context(), byDay))
		for _, e := range res.GetEntries() {
			on = append(on, e.GetReference())
		}
		byDay.PageToken = res.GetNextPageToken()
	}
	if !slices.Equal(of, want) || !slices.Equal(on, want) {
		t.Errorf("organiser %v, day %v, want %v", of, on, want)
	}
	for _, req := range []*ledgerv1.GetDayStatementRequest{{Day: "2026-02-30"}, {Day: "2026-05-01", PageToken: "MSAx"}} {
		_, err := w.statements.GetDayStatement(t.Context(), req)
		wantProblem(t, err, connect.CodeInvalidArgument, "INVALID_FIELD")
	}
}
