package pkpass

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// style checks that there is one style and what is in it.
func (v *verifier) style(root map[string]any) {
	var found []string
	for _, style := range styles {
		if _, ok := root[style]; ok {
			found = append(found, style)
		}
	}
	switch len(found) {
	case 0:
		v.refuse(passFile, "has no style: one of %s is needed", strings.Join(styles, ", "))
		return
	case 1:
	default:
		v.refuse(passFile, "has several styles (%s); one is allowed", strings.Join(found, ", "))
	}
	for _, style := range found {
		if object, ok := root[style].(map[string]any); ok {
			v.fields(style, object)
		}
	}
	if _, ok := root["groupingIdentifier"]; ok && !slices.Contains(found, "eventTicket") && !slices.Contains(found, "boardingPass") {
		v.warn(passFile, "groupingIdentifier works for event tickets and boarding passes only")
	}
}

// fields checks the groups of fields and that keys are unique over all of them.
func (v *verifier) fields(style string, object map[string]any) {
	groups := []struct {
		name  string
		shown int // how many fit on the front; 0: any number
	}{{"headerFields", 3}, {"primaryFields", 1}, {"secondaryFields", 4}, {"auxiliaryFields", 8}, {"backFields", 0}, {"additionalInfoFields", 0}}
	seen := map[string]string{}
	for _, group := range groups {
		value, there := object[group.name]
		if !there || value == nil {
			continue
		}
		list, _ := value.([]any)
		if group.shown > 0 && len(list) > group.shown && style == "eventTicket" {
			v.warn(passFile, "%s has %d fields; iOS shows %d", group.name, len(list), group.shown)
		}
		for i, element := range list {
			where := fmt.Sprintf("%s.%s[%d]", style, group.name, i)
			field, ok := element.(map[string]any)
			if !ok {
				continue // reported by types
			}
			v.field(where, field)
			key, _ := field["key"].(string)
			if before, twice := seen[key]; twice && key != "" {
				v.refuse(passFile, "%s has the key %q, which %s has too; keys are unique in the whole pass", where, key, before)
			}
			seen[key] = where
		}
	}
}

// field checks one field.
func (v *verifier) field(where string, field map[string]any) {
	if key, ok := field["key"].(string); !ok || key == "" {
		v.refuse(passFile, "%s lacks its key (a string)", where)
	}
	if _, there := field["value"]; !there {
		v.refuse(passFile, "%s lacks its value (a string, a number or a date)", where)
	}
	if message, ok := field["changeMessage"].(string); ok && !strings.Contains(message, "%@") {
		v.warn(passFile, "%s.changeMessage does not contain %%@, so the new value is not shown", where)
	}
	v.formats(where, field)
}

// formats checks dates, currencies and number styles, which exclude each other.
func (v *verifier) formats(where string, field map[string]any) {
	families := 0
	if field["dateStyle"] != nil || field["timeStyle"] != nil {
		families++
		text, ok := field["value"].(string)
		if !ok {
			v.refuse(passFile, "%s has a date style, but its value is %s", where, kindOf(field["value"]))
		} else if _, problem := parseDate(text); problem != "" {
			v.refuse(passFile, "%s.value is %q, %s", where, text, problem)
		}
		for _, name := range []string{"dateStyle", "timeStyle"} {
			style, ok := field[name].(string)
			if ok && !slices.Contains([]string{"PKDateStyleNone", "PKDateStyleShort", "PKDateStyleMedium", "PKDateStyleLong", "PKDateStyleFull"}, style) {
				v.refuse(passFile, "%s.%s is %q, which iOS does not know", where, name, style)
			}
		}
	}
	for _, name := range []string{"currencyCode", "numberStyle"} {
		if field[name] == nil {
			continue
		}
		families++
		if _, ok := field["value"].(json.Number); !ok {
			v.refuse(passFile, "%s has %s, but its value is %s, not a number", where, name, kindOf(field["value"]))
		}
	}
	if families > 1 {
		v.refuse(passFile, "%s mixes date, currency and number styles; a field has one of them", where)
	}
	if code, ok := field["currencyCode"].(string); ok && len(code) != 3 {
		v.refuse(passFile, "%s.currencyCode %q is no ISO 4217 code", where, code)
	}
}
