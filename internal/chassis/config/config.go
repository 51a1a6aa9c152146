// Package config reads settings from the environment.
//
// A program names each setting once, with its default and a sentence of
// documentation; the same declarations feed docs/configuration.md and
// `dayof doctor`. All problems are collected, so that an operator gets every
// wrong setting at the first start and not one per start.
package config

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

// prefix is what all settings of this project begin with; Strict complains
// about other names that begin so.
const prefix = "DAYOF_"

// Kind says how the text of a setting is read.
type Kind string

// The kinds of settings.
const (
	KindString     Kind = "string"
	KindDuration   Kind = "duration"
	KindInt        Kind = "integer"
	KindBool       Kind = "boolean"
	KindURL        Kind = "URL"
	KindSecret     Kind = "secret"
	KindSecretList Kind = "secret list"
)

// Setting is what the program asked for and whether it was there. It never
// holds a value.
type Setting struct {
	Name     string
	Kind     Kind
	Default  string // as one would write it; empty when there is none
	Doc      string
	Required bool
	Set      bool
}

// Loader reads settings by name. It is used by one goroutine at start-up.
type Loader struct {
	getenv   func(string) string
	settings []Setting
	problems []error
	environ  []string
}

// New returns a loader that reads through getenv (os.Getenv in a program, a
// map in a test). A setting that is empty counts as absent.
func New(getenv func(string) string) *Loader {
	return &Loader{getenv: getenv}
}

// String returns the setting, or def when it is absent.
func (l *Loader) String(name, def, doc string) string {
	value, ok := l.lookup(Setting{Name: name, Kind: KindString, Default: def, Doc: doc})
	if !ok {
		return def
	}
	return value
}

// StringRequired returns the setting; its absence is a problem.
func (l *Loader) StringRequired(name, doc string) string {
	value, _ := l.lookup(Setting{Name: name, Kind: KindString, Doc: doc, Required: true})
	return value
}

// Duration returns the setting in Go's notation ("2s", "10m"), or def.
func (l *Loader) Duration(name string, def time.Duration, doc string) time.Duration {
	text, ok := l.lookup(Setting{Name: name, Kind: KindDuration, Default: def.String(), Doc: doc})
	if !ok {
		return def
	}
	value, err := time.ParseDuration(text)
	if err != nil || value < 0 {
		l.problem("%s: %q is not a duration; write it like 500ms, 2s or 10m", name, text)
		return def
	}
	return value
}

// Int returns the setting, or def.
func (l *Loader) Int(name string, def int, doc string) int {
	text, ok := l.lookup(Setting{Name: name, Kind: KindInt, Default: strconv.Itoa(def), Doc: doc})
	if !ok {
		return def
	}
	value, err := strconv.Atoi(text)
	if err != nil {
		l.problem("%s: %q is not a whole number", name, text)
		return def
	}
	return value
}

// Bool returns the setting, or def.
func (l *Loader) Bool(name string, def bool, doc string) bool {
	text, ok := l.lookup(Setting{Name: name, Kind: KindBool, Default: strconv.FormatBool(def), Doc: doc})
	if !ok {
		return def
	}
	value, err := strconv.ParseBool(text)
	if err != nil {
		l.problem("%s: %q is neither true nor false", name, text)
		return def
	}
	return value
}

// URL returns the setting, checked to be absolute (scheme and host), or def,
// which may be empty.
func (l *Loader) URL(name, def, doc string) string {
	return l.url(Setting{Name: name, Kind: KindURL, Default: def, Doc: doc})
}

// URLRequired returns the setting, checked to be absolute; its absence is a
// problem.
func (l *Loader) URLRequired(name, doc string) string {
	return l.url(Setting{Name: name, Kind: KindURL, Doc: doc, Required: true})
}

func (l *Loader) url(s Setting) string {
	text, ok := l.lookup(s)
	if !ok {
		return s.Default
	}
	value, err := url.Parse(text)
	if err != nil || value.Scheme == "" || value.Host == "" {
		// The text is not repeated: a URL may carry a password.
		l.problem("%s: not an absolute URL such as http://127.0.0.1:8289", s.Name)
		return s.Default
	}
	return text
}

// Secret returns the value of NAME or the contents of the file that NAME_FILE
// names, without surrounding white space; both at once is a problem. An absent
// secret is the zero Secret.
func (l *Loader) Secret(name, doc string) Secret {
	text, ok := l.secret(Setting{Name: name, Kind: KindSecret, Doc: doc})
	if !ok {
		return Secret{}
	}
	return NewSecret(text)
}

// SecretRequired is Secret, but its absence is a problem.
func (l *Loader) SecretRequired(name, doc string) Secret {
	text, ok := l.secret(Setting{Name: name, Kind: KindSecret, Doc: doc, Required: true})
	if !ok {
		return Secret{}
	}
	return NewSecret(text)
}

// SecretList returns the comma-separated secrets of NAME or NAME_FILE, so that
// an old and a new one are both accepted during a rotation.
func (l *Loader) SecretList(name, doc string) []Secret {
	return l.secretList(Setting{Name: name, Kind: KindSecretList, Doc: doc})
}

// SecretListRequired is SecretList, but the absence of any secret is a problem.
func (l *Loader) SecretListRequired(name, doc string) []Secret {
	return l.secretList(Setting{Name: name, Kind: KindSecretList, Doc: doc, Required: true})
}

func (l *Loader) secretList(s Setting) []Secret {
	text, _ := l.secret(s)
	var secrets []Secret
	for part := range strings.SplitSeq(text, ",") {
		if part = strings.TrimSpace(part); part != "" {
			secrets = append(secrets, NewSecret(part))
		}
	}
	if s.Required && text != "" && len(secrets) == 0 {
		l.problem("%s is required and names no secret: %s", s.Name, s.Doc)
	}
	return secrets
}

func (l *Loader) secret(s Setting) (string, bool) {
	value, file := strings.TrimSpace(l.getenv(s.Name)), l.getenv(s.Name+"_FILE")
	s.Set = value != "" || file != ""
	l.settings = append(l.settings, s)
	switch {
	case value != "" && file != "":
		l.problem("%s and %s_FILE are both set; set one of them", s.Name, s.Name)
		return "", false
	case file != "":
		contents, err := os.ReadFile(file)
		if err != nil {
			l.problem("%s_FILE: %w", s.Name, err)
			return "", false
		}
		value = strings.TrimSpace(string(contents))
		if value == "" {
			l.problem("%s_FILE: %s is empty", s.Name, file)
			return "", false
		}
	case value == "" && s.Required:
		l.problem("%s (or %s_FILE) is required: %s", s.Name, s.Name, s.Doc)
	}
	return value, value != ""
}

// Strict makes Err complain about names in environ (as os.Environ returns it)
// that begin with DAYOF_ but that nobody asked for, mostly misspelt ones.
func (l *Loader) Strict(environ []string) {
	l.environ = environ
}

// Err returns all problems found so far, joined, or nil. Call it after the
// last setting was asked for. No value of a secret is ever part of it.
func (l *Loader) Err() error {
	problems := slices.Clone(l.problems)
	for _, entry := range l.environ {
		name, _, _ := strings.Cut(entry, "=")
		if strings.HasPrefix(name, prefix) && !l.known(name) {
			problems = append(problems, fmt.Errorf("%s: no such setting", name))
		}
	}
	return errors.Join(problems...)
}

// Settings returns what was asked for, in order of first use.
func (l *Loader) Settings() []Setting {
	seen := make(map[string]bool)
	var settings []Setting
	for _, s := range l.settings {
		if !seen[s.Name] {
			settings = append(settings, s)
		}
		seen[s.Name] = true
	}
	return settings
}

func (l *Loader) lookup(s Setting) (string, bool) {
	value := strings.TrimSpace(l.getenv(s.Name))
	s.Set = value != ""
	l.settings = append(l.settings, s)
	if s.Required && !s.Set {
		l.problem("%s is required: %s", s.Name, s.Doc)
	}
	return value, s.Set
}

func (l *Loader) known(name string) bool {
	return slices.ContainsFunc(l.settings, func(s Setting) bool {
		secret := s.Kind == KindSecret || s.Kind == KindSecretList
		return s.Name == name || secret && s.Name+"_FILE" == name
	})
}

func (l *Loader) problem(format string, args ...any) {
	l.problems = append(l.problems, fmt.Errorf(format, args...))
}
