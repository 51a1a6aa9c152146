package pgtest

import (
	"encoding/json"
	"go/ast"
	"go/constant"
	"go/parser"
	"go/token"
	"go/types"
	"maps"
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

// Plans say what CheckPlans demands of a service's statements.
type Plans struct {
	// Packages are directories with further statements: constants whose names end in SQL.
	Packages []string
	// Small are the tables that stay small, however much is sold, and why. All others grow.
	Small map[string]string
	// MayScan are the statements that may read a growing table from its beginning to its end, and why.
	MayScan map[string]string
}

// grownRows is how many rows a growing table must have for its plans to be those of large tables.
const grownRows = 10_000

// CheckPlans fails when a statement reads a growing table from its beginning to its end. Statements are the queries that sqlc generated in
// the test's directory and those of p.Packages; the tables are all of the schema, filled and analyzed.
func CheckPlans(tb testing.TB, pool *pgxpool.Pool, p Plans) {
	tb.Helper()
	conn, err := pool.Acquire(tb.Context())
	if err != nil {
		tb.Fatal(err)
	}
	defer conn.Release()
	if _, err := conn.Exec(tb.Context(), GenericPlans); err != nil {
		tb.Fatal(err)
	}
	growing := growingTables(tb, conn.Conn(), p.Small)
	queries := generatedQueries(tb)
	for _, dir := range p.Packages {
		maps.Copy(queries, constantQueries(tb, dir))
	}
	for name, reason := range p.MayScan {
		if queries[name] == "" || reason == "" {
			tb.Errorf("%s may scan, but is no query or has no reason", name)
		}
	}
	for name, sql := range queries {
		scanned := slices.DeleteFunc(scans(tb, conn.Conn(), sql), func(table string) bool { return !slices.Contains(growing, table) })
		switch {
		case len(scanned) > 0 && p.MayScan[name] == "":
			tb.Errorf("%s scans %v", name, scanned)
		case len(scanned) == 0 && p.MayScan[name] != "":
			tb.Errorf("%s scans nothing: it is no exception any more", name)
		}
	}
}

// growingTables returns the tables that are not small, all of which must have been filled and analyzed.
func growingTables(tb testing.TB, conn *pgx.Conn, small map[string]string) []string {
	tb.Helper()
	rows, err := conn.Query(tb.Context(), `select relname, reltuples::bigint from pg_class
		where relkind = 'r' and relnamespace = 'public'::regnamespace and relname not like '%schema_version'`)
	if err != nil {
		tb.Fatal(err)
	}
	var growing []string
	known := map[string]bool{}
	var table string
	var count int64
	_, err = pgx.ForEachRow(rows, []any{&table, &count}, func() error {
		known[table] = true
		if small[table] != "" {
			return nil
		}
		growing = append(growing, table)
		if count < grownRows {
			tb.Errorf("table %s grows, but has %d rows here: too few to say how its plans will be", table, count)
		}
		return nil
	})
	if err != nil {
		tb.Fatal(err)
	}
	for table, reason := range small {
		if !known[table] || reason == "" {
			tb.Errorf("%s stays small, but is no table or has no reason", table)
		}
	}
	return growing
}

// constantQueries returns the constants of a package whose names end in SQL and whose values are statements on tables.
func constantQueries(tb testing.TB, dir string) map[string]string {
	tb.Helper()
	files := token.NewFileSet()
	paths, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		tb.Fatal(err)
	}
	var parsed []*ast.File
	for _, path := range paths {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(files, path, nil, 0)
		if err != nil {
			tb.Fatal(err)
		}
		parsed = append(parsed, file)
	}
	// Nothing is imported, so most of the package has errors; texts that are put together from texts have none.
	config := types.Config{Error: func(error) {}}
	checked, _ := config.Check(dir, files, parsed, nil)
	queries := map[string]string{}
	statement := regexp.MustCompile(`(?i)^\s*(select|insert|update|delete|with)\s`)
	for _, name := range checked.Scope().Names() {
		text, ok := checked.Scope().Lookup(name).(*types.Const)
		if ok && strings.HasSuffix(name, "SQL") && text.Val().Kind() == constant.String && statement.MatchString(constant.StringVal(text.Val())) {
			queries[name] = constant.StringVal(text.Val())
		}
	}
	if len(queries) == 0 {
		tb.Fatalf("%s has no constants with statements", dir)
	}
	return queries
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
	Node      string `json:"Node Type"`
	Relation  string `json:"Relation Name"`
	Index     string `json:"Index Name"`
	Condition string `json:"Index Cond"`
	Plans     []plan
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
	return top[0].Plan.scans(fullIndexes(tb, conn), false)
}

// fullIndexes returns the table of each index that has all its rows.
func fullIndexes(tb testing.TB, conn *pgx.Conn) map[string]string {
	tb.Helper()
	rows, err := conn.Query(tb.Context(), `select indexrelid::regclass::text, indrelid::regclass::text from pg_index where indpred is null`)
	if err != nil {
		tb.Fatal(err)
	}
	full := map[string]string{}
	var index, table string
	if _, err := pgx.ForEachRow(rows, []any{&index, &table}, func() error { full[index] = table; return nil }); err != nil {
		tb.Fatal(err)
	}
	return full
}

// scans returns the tables that the plan reads whole: row by row, or by an index without a condition. What is limited ends early.
func (p plan) scans(full map[string]string, limited bool) []string {
	var tables []string
	switch {
	case p.Node == "Seq Scan" && p.Relation != "":
		tables = append(tables, p.Relation)
	case p.Index != "" && p.Condition == "" && full[p.Index] != "" && !limited:
		tables = append(tables, full[p.Index])
	case p.Node == "Limit":
		limited = true
	case p.Node == "Sort" || p.Node == "Aggregate" || p.Node == "Hash":
		limited = false // these read all before they give the first
	}
	for _, child := range p.Plans {
		tables = append(tables, child.scans(full, limited)...)
	}
	return tables
}
