package stripe

import (
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Metadata limits of the v1 API.
const (
	metadataKeysMax  = 50
	metadataKeyMax   = 40
	metadataValueMax = 500
)

var arrayIndex = regexp.MustCompile(`\[\d+\]`)

// params reads the form-encoded parameters of one request. The first problem sticks in err; readers called after it
// return zero values, so a handler reads everything and checks err once.
type params struct {
	values url.Values
	err    *apiError
}

func newParams(values url.Values) *params {
	normalised := make(url.Values, len(values))
	for key, vs := range values {
		name := arrayIndex.ReplaceAllString(key, "[]")
		normalised[name] = append(normalised[name], vs...)
	}
	return &params{values: normalised}
}

// fail keeps the first problem; nil is none.
func (p *params) fail(e *apiError) {
	if p.err == nil && e != nil {
		p.err = e
	}
}

// allow refuses every parameter that is neither listed nor common to all calls. A name ending in [*] allows any child.
func (p *params) allow(names ...string) {
	keys := make([]string, 0, len(p.values))
	for key := range p.values {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	for _, key := range keys {
		if key == "expand[]" || slices.Contains(names, key) {
			continue
		}
		root, _, nested := strings.Cut(key, "[")
		if nested && slices.Contains(names, root+"[*]") {
			continue
		}
		if root == "metadata" && key == "metadata" && slices.Contains(names, "metadata[*]") {
			continue
		}
		p.fail(invalid(key, "parameter_unknown", "Received unknown parameter: %s", key))
	}
}

// unsupported refuses parameters that exist at Stripe and not here.
func (p *params) unsupported(names ...string) {
	for _, name := range names {
		for key := range p.values {
			if root, _, _ := strings.Cut(key, "["); root == name || key == name {
				p.fail(unsupported(name))
			}
		}
	}
}

func (p *params) has(name string) bool { return len(p.values[name]) > 0 }

func (p *params) text(name string) string { return p.values.Get(name) }

// optional is nil when the parameter is absent or empty: an empty string unsets.
func (p *params) optional(name string) *string {
	if v := p.values.Get(name); v != "" {
		return &v
	}
	return nil
}

func (p *params) required(name string) string {
	v := p.values.Get(name)
	if v == "" {
		p.fail(invalid(name, "parameter_missing", "Missing required param: %s.", name))
	}
	return v
}

func (p *params) integer(name string) int64 {
	n, err := strconv.ParseInt(p.values.Get(name), 10, 64)
	if err != nil {
		p.fail(invalid(name, "parameter_invalid_integer", "Invalid integer: %s", p.values.Get(name)))
	}
	return n
}

func (p *params) optionalInteger(name string) *int64 {
	if !p.has(name) || p.values.Get(name) == "" {
		return nil
	}
	n := p.integer(name)
	return &n
}

// positive reads an amount in minor units that must be at least 1; absent gives nil.
func (p *params) positive(name string) *int64 {
	n := p.optionalInteger(name)
	if n != nil && *n < 1 {
		p.fail(invalid(name, "parameter_invalid_integer", "This value must be greater than or equal to 1."))
	}
	return n
}

func (p *params) boolean(name string) bool {
	switch p.values.Get(name) {
	case "", "false":
		return false
	case "true":
		return true
	}
	p.fail(invalid(name, "", "Invalid boolean: %s", p.values.Get(name)))
	return false
}

// choice reads one of the values; absent gives the first.
func (p *params) choice(name string, values ...string) string {
	v := p.values.Get(name)
	if v == "" {
		return values[0]
	}
	if !slices.Contains(values, v) {
		p.fail(invalid(name, "", "Invalid %s: must be one of %s", name, strings.Join(slices.Sorted(slices.Values(values)), ", ")))
	}
	return v
}

func (p *params) list(name string) []string { return p.values[name+"[]"] }

// metadata merges the given pairs into a copy of old: an empty value removes its key, an empty metadata removes all.
func (p *params) metadata(old map[string]string) map[string]string {
	merged := make(map[string]string, len(old))
	if !p.has("metadata") || p.text("metadata") != "" {
		maps.Copy(merged, old)
	}
	for key, vs := range p.values {
		name, found := strings.CutPrefix(key, "metadata[")
		if !found {
			continue
		}
		name = strings.TrimSuffix(name, "]")
		value := vs[len(vs)-1]
		switch {
		case value == "":
			delete(merged, name)
			continue
		case utf8.RuneCountInString(name) > metadataKeyMax:
			p.fail(invalid("metadata", "", "Metadata keys can be at most %d characters: %s", metadataKeyMax, name))
		case utf8.RuneCountInString(value) > metadataValueMax:
			p.fail(invalid("metadata["+name+"]", "", "Metadata values can be at most %d characters.", metadataValueMax))
		}
		merged[name] = value
	}
	if len(merged) > metadataKeysMax {
		p.fail(invalid("metadata", "", "Metadata can have at most %d keys.", metadataKeysMax))
	}
	return merged
}
