package main

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/dayof/dayof/devenv/cost"
	"github.com/dayof/dayof/devenv/sandbox"
	"github.com/dayof/dayof/internal/server"
)

// printCosts prints what a sale cost each party in one measurement. The product is its four services with their databases; the sandbox, the
// load and the server's own processes are not.
func printCosts(out io.Writer, r result, callers int) error {
	sales := float64(r.sales)
	per := func(n int64) string { return fmt.Sprintf("%.2f", float64(n)/sales) }
	fmt.Fprintf(out, "\nper sale, %d callers:\n", callers)
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "database\tstatements\tcommits that write\trows\trows locked\tWAL kB\tcommits by the clock\tWAL kB by the clock\t")
	var product cost.Database
	line := func(name string, d cost.Database) {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%.2f\t%s\t%.2f\t\n", name, per(d.Statements), per(d.Commits), per(d.RowsSum()), per(d.Locks),
			float64(d.BytesSum())/1000/sales, per(d.Background.Commits), float64(d.Background.BytesSum())/1000/sales)
	}
	for _, name := range server.Services() {
		d := r.cost.Databases[name]
		line(name, d)
		product = product.Plus(d)
	}
	line("the product", product)
	line(cost.SandboxLedger, r.cost.Databases[cost.SandboxLedger])
	if err := w.Flush(); err != nil {
		return err
	}
	fmt.Fprintln(out, "\nrows written and WAL bytes by table:")
	for _, name := range append(server.Services(), cost.SandboxLedger) {
		d := r.cost.Databases[name]
		var tables []string
		for _, table := range slices.SortedFunc(maps.Keys(d.Bytes), func(a, b string) int { return cmp.Compare(d.Bytes[b], d.Bytes[a]) }) {
			tables = append(tables, fmt.Sprintf("%s %s/%.0f", cmp.Or(table, "(no table)"), per(d.Rows[table]), float64(d.Bytes[table])/sales))
		}
		fmt.Fprintf(out, "  %s: %s\n", name, strings.Join(tables, ", "))
	}
	fmt.Fprintf(out, "\nHTTP exchanges: %s webhooks", per(r.cost.Webhooks))
	for _, procedure := range slices.Sorted(maps.Keys(r.cost.RPCs)) {
		fmt.Fprintf(out, ", %s %s", per(r.cost.RPCs[procedure]), procedure[strings.LastIndexByte(procedure, '/')+1:])
	}
	calls := slices.SortedFunc(maps.Keys(r.cost.Calls), func(a, b sandbox.Call) int {
		return cmp.Or(cmp.Compare(a.Party, b.Party), cmp.Compare(a.Name, b.Name))
	})
	for _, call := range calls {
		fmt.Fprintf(out, ", %s %s at %s", per(r.cost.Calls[call]), call.Name, call.Party)
	}
	fmt.Fprintf(out, "\nCPU ms:")
	for _, party := range slices.Sorted(maps.Keys(r.cpu)) {
		fmt.Fprintf(out, " %s %.2f;", party, r.cpu[party].Seconds()*1000/sales)
	}
	_, err := fmt.Fprintln(out)
	return err
}
