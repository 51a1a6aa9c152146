package ledger

import (
	"encoding/json"
	"fmt"
	"math/big"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// query is an SQL statement in the making. $1 is always the ledger.
type query struct {
	args []any
	// pit and oot bound the time that is read; nil for no bound.
	pit, oot *time.Time
	// byInsertion: the bounds are insertion dates, not timestamps.
	byInsertion bool
}

func newQuery(b book) *query { return &query{args: []any{b.id}} }

// arg adds a parameter and returns its placeholder.
func (q *query) arg(v any) string {
	q.args = append(q.args, v)
	return "$" + strconv.Itoa(len(q.args))
}

// number adds a numeric parameter.
func (q *query) number(v any) string {
	text := fmt.Sprint(v)
	if n, ok := v.(*big.Int); ok {
		text = n.String()
	}
	return q.arg(text) + "::text::numeric"
}

// comparison is the SQL of an ordering operator.
func comparison(operator string) (string, error) {
	switch operator {
	case "$match":
		return "=", nil
	case "$lt":
		return "<", nil
	case "$lte":
		return "<=", nil
	case "$gt":
		return ">", nil
	case "$gte":
		return ">=", nil
	case "$like":
		return "like", nil
	}
	return "", fmt.Errorf("operator %s cannot be compared with", operator)
}

// compareText renders a comparison of a text column.
func (q *query) compareText(column, operator string, value any) (string, error) {
	if operator == "$in" {
		return column + " = any(" + q.arg(stringsOf(value)) + "::text[])", nil
	}
	sign, err := comparison(operator)
	return column + " " + sign + " " + q.arg(value) + "::text", err
}

func stringsOf(value any) []string {
	var texts []string
	for _, item := range value.([]any) { //nolint:errcheck,forcetypeassert // validated
		texts = append(texts, fmt.Sprint(item))
	}
	return texts
}

// compareTime renders a comparison of a timestamp column.
func (q *query) compareTime(column, operator string, value any) (string, error) {
	sign, err := comparison(operator)
	if err != nil {
		return "", err
	}
	at, err := parseTime(fmt.Sprint(value))
	return column + " " + sign + " " + q.arg(at) + "::timestamptz", err
}

// compareNumber renders a comparison of a numeric expression.
func (q *query) compareNumber(expression, operator string, value any) (string, error) {
	sign, err := comparison(operator)
	if err != nil {
		return "", err
	}
	if n, ok := value.(*big.Int); ok && n.IsInt64() {
		return expression + " " + sign + " " + q.arg(n.Int64()) + "::bigint", nil
	}
	return expression + " " + sign + " " + q.number(value), nil
}

var indexRegexp = regexp.MustCompile(`^[a-z_]+\[(.+)\]$`)

// index returns k of metadata[k], "" for plain metadata.
func index(key string) string {
	if m := indexRegexp.FindStringSubmatch(key); m != nil {
		return m[1]
	}
	return ""
}

// compareMetadata renders metadata[k] comparisons and $exists on metadata.
func (q *query) compareMetadata(column, operator, key string, value any) (string, error) {
	k := index(key)
	switch {
	case k == "":
		return column + " ? " + q.arg(value) + "::text", nil
	case operator == "$match":
		pair, err := json.Marshal(map[string]any{k: value})
		return column + " @> " + q.arg(string(pair)) + "::text::jsonb", err
	default:
		return q.compareText("("+column+" ->> "+q.arg(k)+"::text)", operator, value)
	}
}

// compareAddress renders a comparison of an address column. A pattern has empty
// segments, which stand for any one segment, or ends in ..., which stands for
// any rest.
func (q *query) compareAddress(column, operator string, value any) (string, error) {
	text, ok := value.(string)
	if operator != "$match" || !ok {
		return q.compareText(column, operator, value)
	}
	segments := splitAddress(text)
	open := segments[len(segments)-1] == "..."
	if !open && !slices.Contains(segments, "") {
		return column + " = " + q.arg(text) + "::text", nil
	}
	if open {
		segments = segments[:len(segments)-1]
		for len(segments) > 0 && segments[len(segments)-1] == "" {
			segments = segments[:len(segments)-1]
		}
		if len(segments) == 0 {
			return "true", nil
		}
	}
	return q.matchSegments(column, segments, open), nil
}

// matchSegments matches a pattern: the fixed beginning as a range, so that an
// index can serve, and the whole as a regular expression.
func (q *query) matchSegments(column string, segments []string, open bool) string {
	parts := make([]string, len(segments))
	for i, segment := range segments {
		parts[i] = "[^:]+"
		if segment != "" && segment != "..." {
			parts[i] = regexp.QuoteMeta(segment)
		}
	}
	expression := "^" + strings.Join(parts, ":")
	if open {
		expression += "(:|$)"
	} else {
		expression += "$"
	}
	clause := column + " ~ " + q.arg(expression) + "::text"
	if fixed := segments[0]; fixed != "" && fixed != "..." {
		// ';' follows ':' and every address character below it is excluded by
		// the expression.
		clause += " and " + column + " >= " + q.arg(fixed) + "::text and " + column + " < " + q.arg(fixed+";") + "::text"
	}
	return clause
}

func splitAddress(address string) []string { return strings.Split(address, ":") }

// timeParameter reads an optional time of the query string.
func timeParameter(values url.Values, name string) (*time.Time, error) {
	text := values.Get(name)
	if text == "" {
		return nil, nil
	}
	at, err := parseTime(text)
	if err != nil {
		return nil, err
	}
	return &at, nil
}
