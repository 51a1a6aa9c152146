package pkpass

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

var styles = []string{"boardingPass", "coupon", "eventTicket", "generic", "storeCard"}

const tokenLengthMin = 16

// pass checks pass.json.
func (v *verifier) pass() {
	data, ok := v.files[passFile]
	if !ok {
		return // reported by unzip
	}
	root, err := decodePass(data)
	if err != nil {
		v.refuse(passFile, "%v", err)
		return
	}
	v.nulls("", root)
	v.types("", root, passShape)
	v.required(root)
	v.report.PassTypeIdentifier, _ = root["passTypeIdentifier"].(string)
	v.report.TeamIdentifier, _ = root["teamIdentifier"].(string)
	v.report.SerialNumber, _ = root["serialNumber"].(string)
	v.webService(root)
	v.dates(root)
	v.places(root)
	v.barcodes(root)
	for _, key := range []string{"backgroundColor", "foregroundColor", "labelColor", "stripColor"} {
		if color, ok := root[key].(string); ok && !isColor(color) {
			v.refuse(passFile, `%s is %q; write it as "rgb(23, 18, 43)"`, key, color)
		}
	}
	if _, ok := root["nfc"]; ok {
		v.refuse(passFile, "nfc needs a certificate that Apple entitled for NFC; with any other the pass does not open at all")
	}
	v.style(root)
}

func decodePass(data []byte) (map[string]any, error) {
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.UseNumber()
	var root any
	err := decoder.Decode(&root)
	if err == nil && len(bytes.TrimSpace(data[decoder.InputOffset():])) > 0 {
		err = errors.New("something follows its end")
	}
	if syntax, ok := errors.AsType[*json.SyntaxError](err); ok {
		return nil, fmt.Errorf("is not valid JSON at line %d: %w", 1+bytes.Count(data[:min(int(syntax.Offset), len(data))], []byte("\n")), err)
	}
	if err != nil {
		return nil, fmt.Errorf("is not valid JSON: %w", err)
	}
	object, ok := root.(map[string]any)
	if !ok {
		return nil, errors.New("is not a JSON object")
	}
	return object, nil
}

// nulls finds null values anywhere.
func (v *verifier) nulls(where string, value any) {
	switch value := value.(type) {
	case nil:
		v.refuse(passFile, "%s is null; leave the key out instead", where)
	case map[string]any:
		for _, key := range slices.Sorted(maps.Keys(value)) {
			v.nulls(strings.TrimPrefix(where+"."+key, "."), value[key])
		}
	case []any:
		for i, element := range value {
			v.nulls(where+"["+strconv.Itoa(i)+"]", element)
		}
	}
}

func (v *verifier) required(root map[string]any) {
	for _, key := range []string{"passTypeIdentifier", "serialNumber", "teamIdentifier", "organizationName", "description"} {
		if text, ok := root[key].(string); !ok {
			if _, there := root[key]; !there {
				v.refuse(passFile, "lacks the key %s", key)
			}
		} else if text == "" {
			v.refuse(passFile, "%s is empty", key)
		}
	}
	if version, ok := root["formatVersion"].(json.Number); !ok {
		if _, there := root["formatVersion"]; !there {
			v.refuse(passFile, "lacks the key formatVersion (the number 1)")
		}
	} else if version.String() != "1" {
		v.refuse(passFile, "formatVersion is %s; there is only 1", version)
	}
	if passType, ok := root["passTypeIdentifier"].(string); ok && !strings.HasPrefix(passType, "pass.") {
		v.refuse(passFile, `passTypeIdentifier is %q; it begins with "pass."`, passType)
	}
}

// webService checks what updates need.
func (v *verifier) webService(root map[string]any) {
	address, hasURL := root["webServiceURL"].(string)
	token, hasToken := root["authenticationToken"].(string)
	if !hasURL {
		v.warn(passFile, "has no webServiceURL, so the pass never updates")
		return
	}
	if !hasToken {
		v.refuse(passFile, "has webServiceURL, but no authenticationToken")
	} else if len(token) < tokenLengthMin {
		v.refuse(passFile, "authenticationToken has %d characters; it needs %d at least", len(token), tokenLengthMin)
	}
	parsed, err := url.Parse(address)
	switch {
	case err != nil || parsed.Host == "":
		v.refuse(passFile, "webServiceURL %q is not a URL", address)
	case parsed.Scheme == "http":
		v.warn(passFile, "webServiceURL is plain http; devices accept that only with the developer switch")
	case parsed.Scheme != "https":
		v.refuse(passFile, "webServiceURL must be https")
	}
	if strings.HasSuffix(strings.TrimSuffix(address, "/"), "/v1") {
		v.refuse(passFile, "webServiceURL ends in /v1; devices append /v1 themselves and would ask /v1/v1")
	}
}

// dates checks dates of the top level.
func (v *verifier) dates(root map[string]any) {
	for _, key := range []string{"relevantDate", "expirationDate"} {
		if text, ok := root[key].(string); ok {
			if _, problem := parseDate(text); problem != "" {
				v.refuse(passFile, "%s is %q, %s", key, text, problem)
			}
		}
	}
	if text, ok := root["expirationDate"].(string); ok {
		if expires, problem := parseDate(text); problem == "" && expires.Before(v.options.Now) {
			v.warn(passFile, "expirationDate %s is over: the device puts the pass away among expired ones", text)
		}
	}
	list, _ := root["relevantDates"].([]any)
	for i, element := range list {
		v.relevance(fmt.Sprintf("relevantDates[%d]", i), element)
	}
}

func (v *verifier) relevance(where string, element any) {
	object, ok := element.(map[string]any)
	if !ok {
		return // reported by types
	}
	times := map[string]time.Time{}
	for _, key := range []string{"date", "relevantDate", "startDate", "endDate"} {
		text, there := object[key].(string)
		if !there {
			continue
		}
		at, problem := parseDate(text)
		if problem != "" {
			v.refuse(passFile, "%s.%s is %q, %s", where, key, text, problem)
			continue
		}
		times[key] = at
	}
	start, end := times["startDate"], times["endDate"]
	if !start.IsZero() && !end.IsZero() && (end.Before(start) || end.Sub(start) > 24*time.Hour) {
		v.refuse(passFile, "%s lasts from %s to %s; it may last 24 hours and not end before it starts", where, start.Format(time.RFC3339), end.Format(time.RFC3339))
	}
}

// parseDate reads a W3C date and time, or says what is wrong with it.
func parseDate(text string) (at time.Time, problem string) {
	for _, layout := range []string{time.RFC3339, "2006-01-02T15:04Z07:00"} {
		if at, err := time.Parse(layout, text); err == nil {
			if strings.Contains(text, ".") {
				return at, "which has fractions of a second; iOS cannot read them"
			}
			return at, ""
		}
	}
	for _, layout := range []string{"2006-01-02T15:04:05", "2006-01-02T15:04", "2006-01-02 15:04:05"} {
		if _, err := time.Parse(layout, text); err == nil {
			return time.Time{}, "which lacks the time zone"
		}
	}
	return time.Time{}, "which is no date like 2027-03-01T20:00:00+01:00"
}

// places checks locations.
func (v *verifier) places(root map[string]any) {
	list, _ := root["locations"].([]any)
	if len(list) > 10 {
		v.refuse(passFile, "has %d locations; 10 are allowed", len(list))
	}
	for i, element := range list {
		object, ok := element.(map[string]any)
		if !ok {
			continue // reported by types
		}
		for key, limit := range map[string]float64{"latitude": 90, "longitude": 180} {
			number, ok := object[key].(json.Number)
			value, err := number.Float64()
			if !ok || err != nil || value < -limit || value > limit {
				v.refuse(passFile, "locations[%d].%s is no number from %g to %g", i, key, -limit, limit)
			}
		}
	}
}

var barcodeFormats = []string{"PKBarcodeFormatQR", "PKBarcodeFormatPDF417", "PKBarcodeFormatAztec", "PKBarcodeFormatCode128"}

// barcodes checks the old and the new key.
func (v *verifier) barcodes(root map[string]any) {
	list, _ := root["barcodes"].([]any)
	for i, element := range list {
		v.barcode(fmt.Sprintf("barcodes[%d]", i), element)
	}
	if single, ok := root["barcode"]; ok {
		v.barcode("barcode", single)
	}
}

func (v *verifier) barcode(where string, element any) {
	object, ok := element.(map[string]any)
	if !ok {
		return // reported by types
	}
	if format, _ := object["format"].(string); !slices.Contains(barcodeFormats, format) {
		v.refuse(passFile, "%s.format is %v; iOS knows %s", where, object["format"], strings.Join(barcodeFormats, ", "))
	}
	if message, ok := object["message"].(string); !ok || message == "" {
		v.refuse(passFile, "%s.message must be a string that is not empty", where)
	} else if encoding, _ := object["messageEncoding"].(string); strings.EqualFold(encoding, "iso-8859-1") &&
		strings.ContainsFunc(message, func(r rune) bool { return r > 0xff }) {
		v.refuse(passFile, "%s.message has characters that iso-8859-1 cannot write; use messageEncoding utf-8", where)
	}
	if encoding, ok := object["messageEncoding"].(string); !ok || encoding == "" {
		v.refuse(passFile, "%s lacks messageEncoding, such as iso-8859-1", where)
	}
}

var colorPattern = regexp.MustCompile(`^rgb\(\s*(\d{1,3})\s*,\s*(\d{1,3})\s*,\s*(\d{1,3})\s*\)$`)

func isColor(s string) bool {
	match := colorPattern.FindStringSubmatch(s)
	if match == nil {
		return false
	}
	for _, part := range match[1:] {
		if n, err := strconv.Atoi(part); err != nil || n > 255 {
			return false
		}
	}
	return true
}
