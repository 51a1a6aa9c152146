package pkpass

import (
	"bytes"
	"encoding/binary"
	"image/png"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

var imageName = regexp.MustCompile(`^(?:[A-Za-z0-9_-]+\.lproj/)?(icon|logo|strip|background|thumbnail|footer|artwork|secondaryLogo|personalizationLogo)(@[23]x)?\.png$`)

// images checks that those needed are there, and that they are images.
func (v *verifier) images() {
	if _, ok := v.files["icon.png"]; !ok {
		v.refuse("icon.png", "is missing; iOS refuses a pass without it and does not say so")
	}
	kinds := map[string]bool{}
	for _, name := range slices.Sorted(maps.Keys(v.files)) {
		if !strings.HasSuffix(strings.ToLower(name), ".png") {
			continue
		}
		match := imageName.FindStringSubmatch(name)
		if match == nil {
			v.warn(name, "is no image that iOS knows")
			continue
		}
		kinds[match[1]] = true
		v.image(name, match[1], match[2])
	}
	if kinds["strip"] && (kinds["background"] || kinds["thumbnail"]) {
		v.warn("strip.png", "is there beside background or thumbnail; with a strip iOS shows neither")
	}
	for _, kind := range []string{"icon", "logo", "strip"} {
		if _, ok := v.files[kind+"@2x.png"]; kinds[kind] && !ok {
			v.warn(kind+"@2x.png", "is missing; devices show nothing smaller sharply")
		}
	}
}

func (v *verifier) image(name, kind, scale string) {
	data := v.files[name]
	if !bytes.HasPrefix(data, []byte("\x89PNG\r\n\x1a\n")) {
		v.refuse(name, "is not a PNG image")
		return
	}
	config, err := png.DecodeConfig(bytes.NewReader(data))
	if err != nil {
		v.refuse(name, "is a damaged PNG image: %v", err)
		return
	}
	factor := map[string]int{"": 1, "@2x": 2, "@3x": 3}[scale]
	if points := 29 * factor; kind == "icon" && (config.Width != config.Height || config.Width < points) {
		v.warn(name, "has %d x %d pixels; Apple wants %d x %d", config.Width, config.Height, points, points)
	}
	if kind == "logo" && (config.Width > 160*factor || config.Height > 50*factor) {
		v.warn(name, "has %d x %d pixels; iOS shrinks it to fit %d x %d", config.Width, config.Height, 160*factor, 50*factor)
	}
}

// translations checks pass.strings files.
func (v *verifier) translations() {
	for _, name := range slices.Sorted(maps.Keys(v.files)) {
		if path.Base(name) != "pass.strings" {
			continue
		}
		if !strings.HasSuffix(path.Dir(name), ".lproj") {
			v.warn(name, "is not in a folder like de.lproj, so iOS does not read it")
			continue
		}
		text, ok := decodeText(v.files[name])
		if !ok {
			v.refuse(name, "is neither UTF-8 nor UTF-16 with a byte order mark")
			continue
		}
		if line := stringsError(text); line > 0 {
			v.refuse(name, `line %d is not of the form "text" = "translation"; (a quote inside needs a backslash)`, line)
		}
	}
}

func decodeText(data []byte) (string, bool) {
	var order binary.ByteOrder
	switch {
	case bytes.HasPrefix(data, []byte{0xff, 0xfe}):
		order = binary.LittleEndian
	case bytes.HasPrefix(data, []byte{0xfe, 0xff}):
		order = binary.BigEndian
	default:
		return strings.TrimPrefix(string(data), "\ufeff"), utf8.Valid(data)
	}
	data = data[2:]
	units := make([]uint16, 0, len(data)/2)
	for ; len(data) >= 2; data = data[2:] {
		units = append(units, order.Uint16(data))
	}
	return string(utf16.Decode(units)), len(data) == 0
}

// stringsEntry is one entry of a .strings file: "text" = "translation"; or a comment.
var stringsEntry = regexp.MustCompile(`^(?:"(?:[^"\\]|\\.)*"\s*=\s*"(?:[^"\\]|\\.)*"\s*;|//[^\n]*|/\*(?s:.*?)\*/)`)

// stringsError returns the number of the first line that cannot be read, or 0.
func stringsError(text string) int {
	line := 1
	for {
		trimmed := strings.TrimLeft(text, " \t\r\n")
		line += strings.Count(text[:len(text)-len(trimmed)], "\n")
		if trimmed == "" {
			return 0
		}
		entry := stringsEntry.FindString(trimmed)
		if entry == "" {
			return line
		}
		line += strings.Count(entry, "\n")
		text = trimmed[len(entry):]
	}
}
