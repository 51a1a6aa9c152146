package main

import (
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/dayof/dayof/internal/chassis/config"
	"github.com/dayof/dayof/internal/server"
	"github.com/dayof/dayof/webhooksvc"
)

var update = flag.Bool("update", false, "rewrite the generated pages of docs/")

// TestGeneratedPages compares the pages that the code knows with the code; -update rewrites them.
func TestGeneratedPages(t *testing.T) {
	t.Parallel()
	for name, page := range map[string]string{
		"configuration.md": configurationPage(t),
		"webhooks.md":      webhooksvc.MatrixMarkdown(),
	} {
		path := filepath.Join("../../docs", name)
		if *update {
			if err := os.WriteFile(path, []byte(page), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if read(t, "../../docs", name) != page {
			t.Errorf("docs/%s is not what the code says; run make docs", name)
		}
	}
}

const configurationHeader = `# Configuration

Generated from the settings that the services ask for. Settings come from the environment. A secret may also come from a
file: set the name with ` + "`_FILE`" + ` behind it to the file's path. Durations are written like ` + "`500ms`, `2s` or `10m`" + `.
A setting that is misspelt stops the start, as does a required one that is missing; ` + "`dayof doctor`" + ` says what is set.

` + "`dayof up`, `dayof demo`" + ` and the tests make up what they need and take the rest from the environment. They read besides:

| setting | kind | what it is |
|---|---|---|
| ` + "`DAYOF_DATABASE_URL`" + ` | URL | a running Postgres server to use instead of one of their own; its role must be allowed to create databases |
| ` + "`DAYOF_POSTGRES_BIN`" + ` | string | directory with initdb and postgres; ` + "`fetch`" + ` passes over what the machine has |
| ` + "`DAYOF_POSTGRES_REPOSITORY`" + ` | URL | Maven repository that Postgres is fetched from where the machine has none; default: Maven Central |
| ` + "`DAYOF_LOG_LEVEL`" + ` | string | debug, info, warn or error; default: info for the services, warn for ` + "`up` and `demo`" + ` |
| ` + "`DAYOF_DEBUG_CRASH_POINT`" + ` | string | for the tests, read by ` + "`dayof serve`" + ` alone: die as by kill -9 at this point, POINT or POINT:N for the N-th time, or stop there with stop@ before it; ` + "`dayof-server`" + ` has no such points and refuses the setting |
| ` + "`DAYOF_TEST_DATABASE_URL`" + ` | URL | for the tests: a running Postgres server to use instead of one of their own |
| ` + "`DAYOF_TEST_RACES`, `DAYOF_TEST_SHUFFLES`" + ` | integer | for the tests: how often the races are run, and each story is shuffled |
`

// configurationPage lists the settings of each service: first what all of them share, then each one's own.
func configurationPage(t *testing.T) string {
	t.Helper()
	services := server.Services()
	counts := map[string]int{}
	all := map[string][]config.Setting{}
	for _, service := range services {
		settings, err := server.Settings(service, func(string) string { return "" })
		if err != nil {
			t.Fatal(err)
		}
		all[service] = settings
		for _, s := range settings {
			counts[s.Name]++
		}
	}
	var page strings.Builder
	page.WriteString(configurationHeader)
	page.WriteString("\n## All services\n\n" + tableHeader)
	for _, s := range all[services[0]] {
		if counts[s.Name] == len(services) {
			page.WriteString(settingRow(s))
		}
	}
	for _, service := range services {
		fmt.Fprintf(&page, "\n## %ssvc: `dayof-server %s`\n\n%s", service, service, tableHeader)
		for _, s := range all[service] {
			if counts[s.Name] < len(services) {
				page.WriteString(settingRow(s))
			}
		}
	}
	return page.String()
}

const tableHeader = "| setting | kind | default | what it is |\n|---|---|---|---|\n"

func settingRow(s config.Setting) string {
	fallback := ""
	switch {
	case s.Required:
		fallback = "required"
	case s.Default != "":
		fallback = "`" + s.Default + "`"
	}
	return fmt.Sprintf("| `%s` | %s | %s | %s |\n", s.Name, s.Kind, fallback, s.Doc)
}

var (
	reasonInCode     = regexp.MustCompile(`"([A-Z]{2,}(?:_[A-Z]+)+|OVERLOADED|UNAUTHENTICATED|INTERNAL)"`)
	reasonOfContract = regexp.MustCompile(`Reason_REASON_([A-Z_]+)`) // a value of a contract's enum
	reasonInPage     = regexp.MustCompile(`(?m)^\| ([A-Z_]+) \|`)
)

// TestProblemsPage wants every reason that the code can give in docs/problems.md, and no other.
func TestProblemsPage(t *testing.T) {
	t.Parallel()
	inPage := map[string]bool{}
	for _, match := range reasonInPage.FindAllStringSubmatch(read(t, "../../docs", "problems.md"), -1) {
		inPage[match[1]] = true
	}
	inCode := map[string]bool{}
	for _, room := range []string{"checkoutsvc", "passsvc", "ledgersvc", "webhooksvc", "internal/chassis/problem", "internal/chassis/rpc", "internal/chassis/idem"} {
		err := filepath.WalkDir(filepath.Join("../..", room), func(path string, entry fs.DirEntry, err error) error {
			if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			text, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			for _, match := range reasonInCode.FindAllStringSubmatch(string(text), -1) {
				inCode[match[1]] = true
			}
			for _, match := range reasonOfContract.FindAllStringSubmatch(string(text), -1) {
				inCode[match[1]] = true
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, word := range []string{"UNDER_REVIEW", "QR_CODE"} { // Google's words, no reasons of ours
		delete(inCode, word)
	}
	for reason := range inCode {
		if !inPage[reason] && !strings.HasPrefix(reason, "DAYOF_") {
			t.Errorf("docs/problems.md does not know %s", reason)
		}
	}
	for reason := range inPage {
		if !inCode[reason] {
			t.Errorf("docs/problems.md knows %s, which no code gives", reason)
		}
	}
}
