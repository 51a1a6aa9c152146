package contract

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// bind remembers what a placeholder stood for, and says if it stood for
// something else before.
func (r *runner) bind(kind, name, got string) string {
	key := kind + ":" + name
	if old, ok := r.bound[key]; ok {
		if old != got {
			return fmt.Sprintf("is %s, but <%s> was %s before", got, key, old)
		}
		return ""
	}
	if kind == "txid" || kind == "logid" {
		if other, ok := r.used[kind+"="+got]; ok {
			return fmt.Sprintf("is %s, which is already <%s:%s>", got, kind, other)
		}
		r.used[kind+"="+got] = name
	}
	r.bound[key] = got
	return ""
}

func decode(data []byte) (any, error) {
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.UseNumber()
	var v any
	if err := decoder.Decode(&v); err != nil {
		return nil, err
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("more than one JSON value")
	}
	return v, nil
}

func show(v any) string {
	data, err := json.Marshal(v)
	if err != nil {
		return err.Error()
	}
	if text := string(data); len(text) > 200 {
		return text[:200] + "..."
	}
	return string(data)
}

var placeholderRegexp = regexp.MustCompile(`^<(any|string|int|hash|time|txid|txidstr|logid|cursor|re)(?::(.*))?>$`)

// placeholder compares a value with a placeholder; "" when it fits.
func (r *runner) placeholder(kind, name string, got any) string {
	text, isText := got.(string)
	number, isNumber := got.(json.Number)
	isInteger := isNumber && !strings.ContainsAny(number.String(), ".eE")
	switch kind {
	case "string":
		if text == "" {
			return "want a non-empty string, got " + show(got)
		}
	case "hash":
		if _, err := base64.StdEncoding.DecodeString(text); err != nil || text == "" {
			return "want base64, got " + show(got)
		}
	case "int":
		if !isInteger {
			return "want an integer, got " + show(got)
		}
	case "time":
		at, err := time.Parse(time.RFC3339Nano, text)
		if !isText || err != nil || !strings.HasSuffix(text, "Z") {
			return "want an RFC 3339 UTC time, got " + show(got)
		}
		if !r.options.LooseTime {
			return r.bind("time", name, at.UTC().Format(time.RFC3339Nano))
		}
	case "txid", "logid":
		if !isInteger {
			return "want an integer id, got " + show(got)
		}
		if plain, exact, ok := strings.Cut(name, "="); ok {
			if number.String() != exact {
				return "want id " + exact + ", got " + number.String()
			}
			name = plain
		}
		return r.bind(kind, name, number.String())
	case "txidstr":
		if _, err := strconv.ParseUint(text, 10, 64); err != nil {
			return "want an id as string, got " + show(got)
		}
		return r.bind("txid", name, text)
	case "cursor":
		if text == "" {
			return "want a cursor, got " + show(got)
		}
		r.bound["cursor:"+name] = text
	case "re":
		return r.pattern(name, got)
	}
	return ""
}

func (r *runner) pattern(pattern string, got any) string {
	text, ok := got.(string)
	if !ok {
		return "want a string, got " + show(got)
	}
	if !r.options.StrictMessages {
		return ""
	}
	expression, err := regexp.Compile(pattern)
	if err != nil {
		return err.Error()
	}
	if !expression.MatchString(text) {
		return fmt.Sprintf("%q does not match %q", text, pattern)
	}
	return ""
}

// compare collects the differences between a recorded and a given value.
// Objects must have the same keys, arrays the same order, numbers the same
// digits.
func (r *runner) compare(path string, want, got any, out *[]string) {
	add := func(format string, args ...any) { *out = append(*out, path+": "+fmt.Sprintf(format, args...)) }
	switch w := want.(type) {
	case map[string]any:
		g, ok := got.(map[string]any)
		if !ok {
			add("want an object, got %s", show(got))
			return
		}
		r.compareObjects(path, w, g, out)
	case []any:
		g, ok := got.([]any)
		if !ok {
			add("want an array, got %s", show(got))
			return
		}
		if len(w) != len(g) {
			add("want %d elements, got %d: %s", len(w), len(g), show(got))
		}
		for i := range min(len(w), len(g)) {
			r.compare(fmt.Sprintf("%s[%d]", path, i), w[i], g[i], out)
		}
	case string:
		if m := placeholderRegexp.FindStringSubmatch(w); m != nil {
			if difference := r.placeholder(m[1], m[2], got); difference != "" {
				add("%s", difference)
			}
			return
		}
		if s, ok := got.(string); !ok || s != r.substitute(w) {
			add("want %s, got %s", show(r.substitute(w)), show(got))
		}
	case json.Number:
		if g, ok := got.(json.Number); !ok || g.String() != w.String() {
			add("want %s, got %s", w, show(got))
		}
	default:
		if want != got {
			add("want %s, got %s", show(want), show(got))
		}
	}
}

func (r *runner) compareObjects(path string, want, got map[string]any, out *[]string) {
	keys := maps.Clone(want)
	maps.Copy(keys, got)
	for _, key := range slices.Sorted(maps.Keys(keys)) {
		w, inWant := want[key]
		g, inGot := got[key]
		switch {
		case !inGot:
			*out = append(*out, fmt.Sprintf("%s: missing key %q (want %s)", path, key, show(w)))
		case !inWant:
			*out = append(*out, fmt.Sprintf("%s: unexpected key %q = %s", path, key, show(g)))
		case (key == "errorMessage" || key == "errorDescription") && !r.options.StrictMessages:
			if s, ok := g.(string); !ok || s == "" {
				*out = append(*out, fmt.Sprintf("%s: %s must be a non-empty string, got %s", path, key, show(g)))
			}
		default:
			r.compare(path+"."+key, w, g, out)
		}
	}
}
