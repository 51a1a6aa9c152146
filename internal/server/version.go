package server

import (
	"runtime/debug"
	"strings"
)

// Version says which build of the module a program is: the module's version, the commit where it is known, and Go's
// version.
func Version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	words := []string{info.Main.Version}
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision":
			words = append(words, s.Value)
		case s.Key == "vcs.modified" && s.Value == "true":
			words = append(words, "modified")
		}
	}
	return strings.TrimSpace(strings.Join(append(words, info.GoVersion), " "))
}
