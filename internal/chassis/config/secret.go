package config

import (
	"encoding/json"
	"fmt"
	"log/slog"
)

// redacted is what a secret shows of itself.
const redacted = "[redacted]"

// Secret is a value that does not show itself in fmt, slog, JSON or text,
// also when it is a field of something that is printed whole. The zero Secret
// is absent.
type Secret struct {
	// A pointer, because fmt prints unexported fields of other packages'
	// structs without asking their methods: it then prints an address.
	value *string
}

// NewSecret wraps a value that did not come from the environment, such as one
// that was made up at start.
func NewSecret(value string) Secret {
	if value == "" {
		return Secret{}
	}
	return Secret{value: &value}
}

// Reveal returns the value itself; "" when absent. Call it where the value is
// used, not before.
func (s Secret) Reveal() string {
	if s.value == nil {
		return ""
	}
	return *s.value
}

// IsSet reports whether there is a value.
func (s Secret) IsSet() bool { return s.value != nil }

// String returns "[redacted]", or "" when absent.
func (s Secret) String() string {
	if s.value == nil {
		return ""
	}
	return redacted
}

// Format keeps every verb of fmt from the value.
func (s Secret) Format(state fmt.State, _ rune) {
	_, _ = state.Write([]byte(s.String()))
}

// LogValue keeps the value from slog.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalJSON keeps the value from JSON.
func (s Secret) MarshalJSON() ([]byte, error) { return json.Marshal(s.String()) }

// MarshalText keeps the value from text encodings, map keys among them.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }
