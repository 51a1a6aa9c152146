package problem

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// What a refusal says at most. Each text goes over the wire up to three times (in the message, in a detail, and once more
// for debugging), and percent-encoded in gRPC's trailers, so that an answer stays below 64 KiB whatever the request was.
const (
	// fieldsMax is how many wrong fields are named: nobody mends more of them at once.
	fieldsMax = 16
	// detailMax and fieldTextMax, the text of all fields together, are in bytes and make 4 KiB.
	detailMax    = 1 << 10
	fieldTextMax = 3 << 10
	// fieldPathMax bounds a path, which may name a key of a map that the caller chose.
	fieldPathMax = 256
	// descriptionMax bounds a description, which may quote the caller.
	descriptionMax = 512
)

// bounded returns p with no more text than a refusal may have.
func (p *Problem) bounded() *Problem {
	q := *p
	q.Detail = cut(p.Detail, detailMax)
	left := fieldTextMax
	q.Fields = make([]Field, 0, min(len(p.Fields), fieldsMax))
	for _, f := range p.Fields[:min(len(p.Fields), fieldsMax)] {
		f.Path = cut(f.Path, min(fieldPathMax, left))
		left -= len(f.Path)
		f.Description = cut(f.Description, min(descriptionMax, left))
		left -= len(f.Description)
		if f.Path == "" && f.Description == "" {
			break
		}
		q.Fields = append(q.Fields, f)
	}
	return &q
}

// ellipsis ends a text that was cut.
const ellipsis = "..."

// cut returns the beginning of a text, at most size bytes with the ellipsis, and valid UTF-8.
func cut(text string, size int) string {
	if len(text) <= size {
		return strings.ToValidUTF8(text, "?")
	}
	if size < len(ellipsis) {
		return ""
	}
	end := size - len(ellipsis)
	for end > 0 && !utf8.RuneStart(text[end]) {
		end--
	}
	return strings.ToValidUTF8(text[:end], "?") + ellipsis
}

// sentenceOf says what is wrong with fields, and that there are more of them than are named.
func sentenceOf(fields []Field, more int) string {
	var sentences []string
	for _, f := range fields {
		if f.Path == "" {
			sentences = append(sentences, f.Description) // a rule over the whole message
		} else {
			sentences = append(sentences, f.Path+": "+f.Description)
		}
	}
	rest := ""
	if more > 0 {
		rest = fmt.Sprintf("; and %d more", more)
	}
	return cut(strings.Join(sentences, "; "), detailMax-len(rest)) + rest
}
