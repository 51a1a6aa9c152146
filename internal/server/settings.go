package server

import (
	"slices"
	"strings"

	"github.com/dayof/dayof/internal/chassis/config"
)

// SettingPrefix is what the names of a service's own settings begin with.
func SettingPrefix(service string) string { return "DAYOF_" + strings.ToUpper(service) + "_" }

func splitList(text string) []string {
	var out []string
	for part := range strings.SplitSeq(text, ",") {
		if part = strings.TrimSpace(part); part != "" {
			out = append(out, part)
		}
	}
	return out
}

// testPrefix begins the names of settings of tests.
const testPrefix = "DAYOF_TEST_"

// elsewhere are settings that no service reads, but `dayof` itself and the embedded Postgres.
func elsewhere() []string {
	return []string{"DAYOF_LOG_LEVEL", "DAYOF_DATABASE_URL", "DAYOF_POSTGRES_BIN", "DAYOF_POSTGRES_REPOSITORY"}
}

// withoutOthers drops what is a setting of another service or of another program from environ, so that all of them may
// share one environment. Own settings stay, and so does what nobody knows.
func withoutOthers(environ []string, own []config.Setting) []string {
	known := map[string]bool{}
	for _, name := range elsewhere() {
		known[name] = true
	}
	for _, service := range Services {
		settings, err := Settings(service, func(string) string { return "" })
		if err != nil {
			continue // Services and recipes name the same services
		}
		for _, s := range settings {
			known[s.Name], known[s.Name+"_FILE"] = true, true
		}
	}
	for _, s := range own {
		delete(known, s.Name)
		delete(known, s.Name+"_FILE")
	}
	return slices.DeleteFunc(slices.Clone(environ), func(entry string) bool {
		name, _, _ := strings.Cut(entry, "=")
		return known[name] || strings.HasPrefix(name, testPrefix)
	})
}
