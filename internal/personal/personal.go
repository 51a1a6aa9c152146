// Package personal holds values about a person so that they do not reach logs.
package personal

import (
	"encoding/json"
	"fmt"
	"log/slog"
)

// redacted is what a text shows of itself.
const redacted = "[personal]"

// Text is a name or an address of a person. It is a string to databases, and it is read from JSON; fmt, slog and JSON write
// "[personal]" instead, also when it is an exported field of something that is printed whole. Convert it to string where it
// is used.
type Text string

// Format keeps every verb of fmt from the text. There is no String method: pgx would store what it returns.
func (t Text) Format(state fmt.State, _ rune) { format(string(t), state) }

// LogValue keeps the text from slog.
func (t Text) LogValue() slog.Value { return slog.StringValue(fmt.Sprint(t)) }

// MarshalJSON keeps the text from JSON, as which slog writes structs.
func (t Text) MarshalJSON() ([]byte, error) { return json.Marshal(fmt.Sprint(t)) }

// Stored is a Text that is stored as JSON: there it is the text. A struct with such a field has a LogValue of its own,
// because slog writes structs as JSON.
type Stored string

// Format keeps every verb of fmt from the text.
func (t Stored) Format(state fmt.State, _ rune) { format(string(t), state) }

// LogValue keeps the text from slog.
func (t Stored) LogValue() slog.Value { return slog.StringValue(fmt.Sprint(t)) }

func format(text string, state fmt.State) {
	if text != "" {
		_, _ = state.Write([]byte(redacted))
	}
}
