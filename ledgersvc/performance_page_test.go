package ledgersvc_test

import (
	"os"
	"strings"
	"testing"
)

// TestPerformancePage has each figure of docs/performance.md name the ledger that it was measured on, or say that none took part.
func TestPerformancePage(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../docs/performance.md")
	if err != nil {
		t.Fatal(err)
	}
	tables, inTable := 0, false
	for n, line := range strings.Split(string(page), "\n") {
		begins := strings.HasPrefix(line, "|") && !inTable
		inTable = strings.HasPrefix(line, "|")
		if !inTable || strings.HasPrefix(line, "|---") {
			continue
		}
		first := strings.TrimSpace(strings.Split(line, "|")[1])
		switch {
		case begins:
			tables++
			if first != "ledger" {
				t.Errorf("line %d: the first column of a table is %q, want the ledger", n+1, first)
			}
		case first != "sandbox" && first != "none" && !strings.HasPrefix(first, "real Formance v"):
			t.Errorf("line %d: %q names no ledger", n+1, first)
		}
	}
	if tables == 0 {
		t.Error("the page has no figures")
	}
}
