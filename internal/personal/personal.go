// Package personal holds values about a person so that they do not reach logs.
package personal

import (
	"fmt"
	"log/slog"
)

// redacted is what a text shows of itself.
const redacted = "[personal]"

// Text is a name or an address of a person. It is a string to databases and JSON, because it is stored and sent; fmt and
// slog write "[personal]" instead, also when it is an exported field of something that is printed whole. Convert it to
// string where it is used.
//
// slog's JSON handler encodes structs as JSON: a type with such a field has a LogValue of its own.
type Text string

// Format keeps every verb of fmt from the text. There is no String method: pgx would store what it returns.
func (t Text) Format(state fmt.State, _ rune) {
	if t != "" {
		_, _ = state.Write([]byte(redacted))
	}
}

// LogValue keeps the text from slog.
func (t Text) LogValue() slog.Value { return slog.StringValue(fmt.Sprint(t)) }
