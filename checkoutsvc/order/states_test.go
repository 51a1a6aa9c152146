package order_test

import (
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/dayof/dayof/checkoutsvc/order"
)

var update = flag.Bool("update", false, "write docs/states.md")

const statesPage = "../../docs/states.md"

// TestStatesPage holds docs/states.md against the tables of transitions and the comments of the states.
func TestStatesPage(t *testing.T) {
	t.Parallel()
	want := renderStates(t)
	if *update {
		if err := os.WriteFile(statesPage, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(statesPage)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Errorf("%s is not what the rules say; run: go test ./checkoutsvc/order -run TestStatesPage -update", statesPage)
	}
}

// Each state that a table names is declared with a comment, and each can be reached.
func TestMachinesAreComplete(t *testing.T) {
	t.Parallel()
	about := commentsOfConstants(t)
	for _, m := range order.Machines() {
		// An inquiry is where a dispute may begin, too, and a free order has a state of its own.
		reached := map[string]bool{m.Initial: true, "warning_needs_response": true, "not_required": true}
		for range m.States() {
			for from, next := range m.Next {
				for _, to := range next {
					reached[to] = reached[to] || reached[from]
				}
			}
		}
		for _, s := range m.States() {
			if about[m.Type+"/"+s] == "" || !reached[s] {
				t.Errorf("%s %s: comment %q, reached %t", m.Name, s, about[m.Type+"/"+s], reached[s])
			}
		}
	}
}

func renderStates(t *testing.T) string {
	t.Helper()
	about := commentsOfConstants(t)
	var b strings.Builder
	b.WriteString("# States of an order\n\nWritten by `go test ./checkoutsvc/order -run TestStatesPage -update` from the tables of transitions in\n" +
		"`checkoutsvc/order`. The database's constraints are tested against the same tables. Staying in a state is always allowed.\n")
	for _, m := range order.Machines() {
		fmt.Fprintf(&b, "\n## %s\n\n```mermaid\nstateDiagram-v2\n    [*] --> %s\n", strings.ToUpper(m.Name[:1])+m.Name[1:], m.Initial)
		for _, from := range m.States() {
			for _, to := range m.Next[from] {
				fmt.Fprintf(&b, "    %s --> %s\n", from, to)
			}
			if len(m.Next[from]) == 0 {
				fmt.Fprintf(&b, "    %s --> [*]\n", from)
			}
		}
		b.WriteString("```\n\n| state | what it means |\n|---|---|\n")
		for _, s := range m.States() {
			fmt.Fprintf(&b, "| `%s` | %s |\n", s, about[m.Type+"/"+s])
		}
	}
	return b.String()
}

// commentsOfConstants returns the comment behind each text constant of the package, by its type and value.
func commentsOfConstants(t *testing.T) map[string]string {
	t.Helper()
	packages, err := parser.ParseDir(token.NewFileSet(), ".", func(i fs.FileInfo) bool { return !strings.HasSuffix(i.Name(), "_test.go") }, parser.ParseComments) //nolint:staticcheck // one package without build tags
	if err != nil {
		t.Fatal(err)
	}
	comments := map[string]string{}
	ast.Inspect(packages["order"], func(n ast.Node) bool {
		v, ok := n.(*ast.ValueSpec)
		if !ok || len(v.Values) != 1 || v.Comment == nil {
			return true
		}
		if literal, ok := v.Values[0].(*ast.BasicLit); ok && literal.Kind == token.STRING {
			value, _ := strconv.Unquote(literal.Value)
			comments[typeName(v)+"/"+value] = strings.TrimSpace(v.Comment.Text())
		}
		return true
	})
	return comments
}

func typeName(v *ast.ValueSpec) string {
	if name, ok := v.Type.(*ast.Ident); ok {
		return name.Name
	}
	return ""
}
