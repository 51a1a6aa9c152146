package ledger

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"
)

// fieldKind is the type of a property that can be filtered by.
type fieldKind int

const (
	stringField fieldKind = iota
	dateField
	numberField
	booleanField
	stringMapField // metadata, metadata[key]
	numberMapField // balance, balance[asset]
)

// operators lists what may be asked of a kind.
func (k fieldKind) operators() []string {
	switch k {
	case stringField:
		return []string{"$match", "$like", "$in"}
	case stringMapField:
		return []string{"$match", "$like", "$in", "$exists"}
	case booleanField:
		return []string{"$match"}
	case numberMapField:
		return []string{"$match", "$lt", "$gt", "$lte", "$gte", "$exists"}
	default:
		return []string{"$match", "$lt", "$gt", "$lte", "$gte"}
	}
}

// check says whether a value fits, in the ledger's words.
func (k fieldKind) check(operator string, v any) error {
	switch k {
	case stringField, stringMapField:
		return checkString(operator, v)
	case dateField:
		text, ok := v.(string)
		if !ok {
			return fmt.Errorf("expected string, time.Time, or *time.Time value, got %T", v)
		}
		if _, err := parseTime(text); err != nil {
			return fmt.Errorf("invalid date value: %w", err)
		}
	case numberField, numberMapField:
		switch v.(type) {
		case *big.Int, float64:
		default:
			return fmt.Errorf("expected numeric value, got %T", v)
		}
	case booleanField:
		if _, ok := v.(bool); !ok {
			return fmt.Errorf("expected boolean value, got %T", v)
		}
	}
	return nil
}

func checkString(operator string, v any) error {
	if operator != "$in" {
		if _, ok := v.(string); !ok {
			return fmt.Errorf("expected string value, got %T", v)
		}
		return nil
	}
	list, ok := v.([]any)
	if !ok {
		return fmt.Errorf("expected array value for operator $in, got %T", v)
	}
	for _, item := range list {
		if _, ok := item.(string); !ok {
			return fmt.Errorf("expected string value in array for operator $in, got %T", item)
		}
	}
	return nil
}

// filter is a parsed filter expression: a set of filters, a negation, or one
// comparison.
type filter struct {
	joiner   string // "and" or "or" for a set
	items    []filter
	negated  *filter
	operator string
	key      string
	value    any
}

// parseFilter reads a filter; nil for none.
func parseFilter(data []byte) (*filter, error) {
	if len(data) == 0 {
		return nil, nil
	}
	var probe map[string]any
	if err := json.Unmarshal(data, &probe); err != nil {
		return nil, err
	}
	if len(probe) == 0 {
		return nil, nil
	}
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.UseNumber()
	var tree map[string]any
	if err := decoder.Decode(&tree); err != nil {
		return nil, err
	}
	f, err := toFilter(tree)
	if err != nil {
		return nil, err
	}
	return &f, nil
}

func singleKey(v any) (string, any, error) {
	m, ok := v.(map[string]any)
	switch {
	case !ok:
		return "", nil, fmt.Errorf("unexpected type %T", v)
	case len(m) == 0:
		return "", nil, errors.New("expected single key, found none")
	case len(m) > 1:
		return "", nil, errors.New("expected single key, found more then one")
	}
	for key, inner := range m {
		return key, inner, nil
	}
	panic("a map of one key has no key")
}

func toFilter(v any) (filter, error) {
	operator, operand, err := singleKey(v)
	if err != nil {
		return filter{}, err
	}
	switch operator {
	case "$and", "$or":
		f, err := toSet(operator, operand)
		if err != nil {
			return f, fmt.Errorf("parsing $and: %w", err)
		}
		return f, nil
	case "$not":
		if _, ok := operand.(map[string]any); !ok {
			return filter{}, fmt.Errorf("parsing $not: unexpected type %T", operand)
		}
		inner, err := toFilter(operand)
		if err != nil {
			return filter{}, fmt.Errorf("parsing $not: %w", err)
		}
		return filter{negated: &inner}, nil
	case "$match", "$gte", "$lte", "$gt", "$lt", "$exists", "$like", "$in":
		key, value, err := singleKey(operand)
		if err != nil {
			return filter{}, fmt.Errorf("parsing %s: %w", operator, err)
		}
		return filter{operator: operator, key: key, value: exactNumbers(value)}, nil
	default:
		return filter{}, fmt.Errorf("unexpected operator %s", operator)
	}
}

func toSet(operator string, operand any) (filter, error) {
	f := filter{joiner: operator[1:]}
	list, ok := operand.([]any)
	if !ok {
		return f, fmt.Errorf("unexpected type %T", operand)
	}
	for i, item := range list {
		if _, ok := item.(map[string]any); !ok {
			return f, fmt.Errorf("unexpected type %T when decoding %s clause at index %d", operand, operator, i)
		}
		sub, err := toFilter(item)
		if err != nil {
			return f, err
		}
		f.items = append(f.items, sub)
	}
	return f, nil
}

// exactNumbers turns JSON numbers into big integers, or floats if they have a
// fraction.
func exactNumbers(v any) any {
	switch v := v.(type) {
	case json.Number:
		if n, ok := new(big.Int).SetString(v.String(), 10); ok {
			return n
		}
		f, err := v.Float64()
		if err != nil {
			return v.String()
		}
		return f
	case []any:
		list := make([]any, len(v))
		for i, item := range v {
			list[i] = exactNumbers(item)
		}
		return list
	}
	return v
}

// resource is something that can be listed and filtered.
type resource struct {
	fields map[string]fieldKind
	// aliases are other names of fields.
	aliases map[string]string
	// resolve renders one comparison, of a checked value, as SQL.
	resolve func(q *query, operator, key string, value any) (string, error)
}

// field finds the field that a key asks for: metadata for metadata[k].
func (r resource) field(key string) (name string, kind fieldKind, ok bool) {
	if alias, ok := r.aliases[key]; ok {
		key = alias
	}
	base, _, indexed := strings.Cut(key, "[")
	kind, ok = r.fields[base]
	if ok && indexed && kind != stringMapField && kind != numberMapField {
		return "", 0, false
	}
	return base, kind, ok
}

// validate refuses unknown keys, operators and values that do not fit.
func (r resource) validate(f *filter) error {
	switch {
	case f == nil:
		return nil
	case f.negated != nil:
		return r.validate(f.negated)
	case f.joiner != "":
		for i := range f.items {
			if err := r.validate(&f.items[i]); err != nil {
				return err
			}
		}
		return nil
	}
	name, kind, ok := r.field(f.key)
	if !ok {
		return invalid("unknown key '%s' when building query", f.key)
	}
	if !slices.Contains(kind.operators(), f.operator) {
		return invalid("operator '%s' is not allowed for property '%s'", f.operator, name)
	}
	if err := kind.check(f.operator, f.value); err != nil {
		return invalid("invalid value '%v' for property '%s': %s", f.value, name, err)
	}
	return nil
}

// where renders a validated filter; "true" for none. SQL's three-valued logic
// applies, as in the ledger: an account without a balance in an asset matches
// neither a condition on it nor its negation.
func (r resource) where(q *query, f *filter) (string, error) {
	switch {
	case f == nil:
		return "true", nil
	case f.negated != nil:
		inner, err := r.where(q, f.negated)
		return "not (" + inner + ")", err
	case f.joiner != "":
		if len(f.items) == 0 {
			return "true", nil
		}
		clauses := make([]string, len(f.items))
		for i := range f.items {
			clause, err := r.where(q, &f.items[i])
			if err != nil {
				return "", err
			}
			clauses[i] = "(" + clause + ")"
		}
		return strings.Join(clauses, " "+f.joiner+" "), nil
	}
	key := f.key
	if alias, ok := r.aliases[key]; ok {
		key = alias
	}
	return r.resolve(q, f.operator, key, f.value)
}
