package scenario

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode"
)

// event is one webhook body, with what a replay needs to know of it.
type event struct {
	body    []byte
	id      string
	account string // connected account; "" for the platform's own
	created int64
}

// head is what every event says about itself. A thin event has no data, and a time in words.
type head struct {
	ID      string          `json:"id"`
	Account string          `json:"account"`
	Created json.RawMessage `json:"created"`
	Data    struct {
		Object json.RawMessage `json:"object"`
	} `json:"data"`
}

func newEvent(body []byte) (event, head, error) {
	var h head
	if err := json.Unmarshal(body, &h); err != nil {
		return event{}, h, fmt.Errorf("read event: %w", err)
	}
	e := event{body: body, id: h.ID, account: h.Account}
	if json.Unmarshal(h.Created, &e.created) != nil {
		e.created = 0 // a thin event: it carries no object either
	}
	return e, h, nil
}

// idPattern is the form of ids at Stripe and in our metadata: a word, an underscore, letters and digits.
var idPattern = regexp.MustCompile(`^[a-z]+_[A-Za-z0-9]{6,}$`)

// isID distinguishes ids from words such as "card_declined", which have neither digits nor capitals.
func isID(text string) bool {
	return idPattern.MatchString(text) && strings.ContainsFunc(text, func(r rune) bool {
		return unicode.IsDigit(r) || unicode.IsUpper(r)
	})
}

// names maps the ids of a scenario to those of this run of it.
type names map[string]string

// newNames maps the order and the intent to ours and gives every other id found in the bodies a suffix.
func newNames(bodies [][]byte, s Scenario, orderID, intentID, suffix string) (names, error) {
	n := names{}
	if s.hasSale() {
		n[s.PaymentIntent] = intentID
		if s.OrderID != "" {
			n[s.OrderID] = orderID
		}
	}
	for _, body := range bodies {
		var value any
		if err := json.Unmarshal(body, &value); err != nil {
			return nil, fmt.Errorf("read event: %w", err)
		}
		visitStrings(value, func(text string) {
			if _, known := n[text]; !known && isID(text) {
				n[text] = text + suffix
			}
		})
	}
	return n, nil
}

// visitStrings visits every string of a JSON value, keys too.
func visitStrings(value any, visit func(string)) {
	switch v := value.(type) {
	case string:
		visit(v)
	case []any:
		for _, element := range v {
			visitStrings(element, visit)
		}
	case map[string]any:
		for key, element := range v {
			visit(key)
			visitStrings(element, visit)
		}
	}
}

// replacer changes all ids in a text at once, also inside longer words such as client secrets. Longer ids go first, so
// that one which begins like another is never cut in two.
func (n names) replacer() *strings.Replacer {
	ids := make([]string, 0, len(n))
	for id := range n {
		ids = append(ids, id)
	}
	slices.SortFunc(ids, func(a, b string) int { return cmp.Or(cmp.Compare(len(b), len(a)), cmp.Compare(a, b)) })
	pairs := make([]string, 0, 2*len(ids))
	for _, id := range ids {
		pairs = append(pairs, id, n[id])
	}
	return strings.NewReplacer(pairs...)
}

// value maps the ids of a JSON value, keys too.
func (n names) value(v any) any {
	switch v := v.(type) {
	case string:
		if mapped, ok := n[v]; ok {
			return mapped
		}
		return v
	case []any:
		out := make([]any, len(v))
		for i := range v {
			out[i] = n.value(v[i])
		}
		return out
	case map[string]any:
		out := make(map[string]any, len(v))
		for key, element := range v {
			mapped, ok := n.value(key).(string)
			if ok {
				out[mapped] = n.value(element)
			}
		}
		return out
	}
	return v
}

// object is the latest state of something at Stripe that the events of a scenario show.
type object struct {
	id      string
	kind    string
	account string
	body    json.RawMessage
}

// finalObjects returns every object as the latest event shows it, in order of first appearance. Events of one second are
// ordered by their place in the scenario. Objects inside of objects count too: the balance transactions of a dispute.
func finalObjects(bodies [][]byte) ([]object, error) {
	type shown struct {
		at      int64
		account string
		value   map[string]any
	}
	var sequence []shown
	for _, body := range bodies {
		e, h, err := newEvent(body)
		if err != nil {
			return nil, err
		}
		var value map[string]any
		decoder := json.NewDecoder(bytes.NewReader(h.Data.Object))
		decoder.UseNumber()
		if decoder.Decode(&value) != nil {
			continue // a thin event carries no object
		}
		sequence = append(sequence, shown{at: e.created, account: e.account, value: value})
	}
	slices.SortStableFunc(sequence, func(a, b shown) int { return cmp.Compare(a.at, b.at) })
	latest := map[string]object{}
	var order []string
	for _, s := range sequence {
		for _, o := range objectsIn(s.value) {
			o.account = s.account
			if _, seen := latest[o.id]; !seen {
				order = append(order, o.id)
			}
			latest[o.id] = o
		}
	}
	out := make([]object, 0, len(order))
	for _, id := range order {
		out = append(out, latest[id])
	}
	return out, nil
}

// objectsIn returns a resource and those nested in it, the outermost last.
func objectsIn(value any) []object {
	var out []object
	switch v := value.(type) {
	case []any:
		for _, element := range v {
			out = append(out, objectsIn(element)...)
		}
	case map[string]any:
		for _, key := range sortedKeys(v) {
			out = append(out, objectsIn(v[key])...)
		}
		id, _ := v["id"].(string)
		kind, _ := v["object"].(string)
		if id != "" && kind != "" {
			body, err := json.Marshal(v)
			if err == nil {
				out = append(out, object{id: id, kind: kind, body: body})
			}
		}
	}
	return out
}

func sortedKeys(m map[string]any) []string {
	keys := make([]string, 0, len(m))
	for key := range m {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}
