package pgtest

import (
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// GenericPlans makes the plans of prepared statements those that Postgres may use from the sixth execution of a statement on.
const GenericPlans = `set plan_cache_mode = force_generic_plan`

// CheckPlans fails when a query that sqlc generated in the test's directory reads one of the growing tables from its beginning to its
// end. The tables are filled and analyzed. Queries in mayScan may; the text says why.
func CheckPlans(tb testing.TB, pool *pgxpool.Pool, growing []string, mayScan map[string]string) {
	tb.Helper()
	conn, err := pool.Acquire(tb.Context())
	if err != nil {
		tb.Fatal(err)
	}
	defer conn.Release()
	if _, err := conn.Exec(tb.Context(), GenericPlans); err != nil {
		tb.Fatal(err)
	}
	queries := generatedQueries(tb)
	for name, reason := range mayScan {
		if queries[name] == "" || reason == "" {
			tb.Errorf("%s may scan, but is no query or has no reason", name)
		}
	}
	for name, sql := range queries {
		scanned := slices.DeleteFunc(scans(tb, conn.Conn(), sql), func(table string) bool { return !slices.Contains(growing, table) })
		switch {
		case len(scanned) > 0 && mayScan[name] == "":
			tb.Errorf("%s scans %v", name, scanned)
		case len(scanned) == 0 && mayScan[name] != "":
			tb.Errorf("%s scans nothing: it is no exception any more", name)
		}
	}
}

// generatedQueries returns the text of each query by its name.
func generatedQueries(tb testing.TB) map[string]string {
	tb.Helper()
	files, err := filepath.Glob("*.sql.go")
	if err != nil || len(files) == 0 {
		tb.Fatalf("generated files: %v, %v", files, err)
	}
	queries := map[string]string{}
	named := regexp.MustCompile(`-- name: (\w+) :`)
	for _, file := range files {
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
		if err != nil {
			tb.Fatal(err)
		}
		ast.Inspect(parsed, func(n ast.Node) bool {
			if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING {
				text, err := strconv.Unquote(lit.Value)
				if name := named.FindStringSubmatch(text); err == nil && name != nil {
					queries[name[1]] = text
				}
			}
			return true
		})
	}
	return queries
}

// plan is a node of what EXPLAIN prints.
type plan struct {
	Node     string `json:"Node Type"`
	Relation string `json:"Relation Name"`
	Plans    []plan
}

// scans returns the tables that the plan of a statement reads whole.
func scans(tb testing.TB, conn *pgx.Conn, sql string) []string {
	tb.Helper()
	const name = "explained"
	prepared, err := conn.Prepare(tb.Context(), name, sql)
	if err != nil {
		tb.Fatalf("%s: %v", sql, err)
	}
	call := name
	if n := len(prepared.ParamOIDs); n > 0 {
		call += "(" + strings.TrimSuffix(strings.Repeat("null,", n), ",") + ")"
	}
	var explained []byte
	if err := conn.QueryRow(tb.Context(), "explain (format json) execute "+call, pgx.QueryExecModeSimpleProtocol).Scan(&explained); err != nil {
		tb.Fatalf("%s: %v", sql, err)
	}
	if err := conn.Deallocate(tb.Context(), name); err != nil {
		tb.Fatal(err)
	}
	var top []struct{ Plan plan }
	if err := json.Unmarshal(explained, &top); err != nil || len(top) != 1 {
		tb.Fatalf("%s: %v", explained, err)
	}
	return top[0].Plan.scans(nil)
}

// scans adds the tables that the plan reads whole.
func (p plan) scans(tables []string) []string {
	if p.Node == "Seq Scan" && p.Relation != "" {
		tables = append(tables, p.Relation)
	}
	for _, child := range p.Plans {
		tables = child.scans(tables)
	}
	return tables
}
