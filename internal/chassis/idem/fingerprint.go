package idem

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash"
	"reflect"
	"time"
)

// Fingerprint returns the SHA-256 of a request: a version, and the fields that matter, in an order and meaning that
// the caller writes out by hand and pins by a golden test. Raise the version when the fields change.
//
// Each part is written with its kind and length, so no two lists of parts give the same bytes: ("ab", "c") differs
// from ("a", "bc"), "1" from 1, nil from "". Parts are strings, byte slices, booleans, integers and enums, times (to
// the microsecond, the zone does not matter), nil, and slices of these. Other kinds panic: they have no fixed form.
func Fingerprint(version int, parts ...any) []byte {
	h := sha256.New()
	writeInt(h, 'v', int64(version))
	for _, p := range parts {
		write(h, p)
	}
	return h.Sum(nil)
}

func write(h hash.Hash, part any) {
	switch p := part.(type) {
	case nil:
		h.Write([]byte{'n'})
		return
	case []byte:
		writeBytes(h, 'x', p)
		return
	case time.Time:
		writeInt(h, 't', p.UnixMicro())
		return
	}
	v := reflect.ValueOf(part)
	switch v.Kind() {
	case reflect.String:
		writeBytes(h, 's', []byte(v.String()))
	case reflect.Bool:
		var b int64
		if v.Bool() {
			b = 1
		}
		writeInt(h, 'b', b)
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		writeInt(h, 'i', v.Int())
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		writeInt(h, 'u', int64(v.Uint()))
	case reflect.Slice:
		writeInt(h, 'l', int64(v.Len()))
		for i := range v.Len() {
			write(h, v.Index(i).Interface())
		}
	default:
		panic(fmt.Sprintf("idem: a %T has no fixed form for a fingerprint", part))
	}
}

func writeInt(h hash.Hash, kind byte, n int64) {
	var b [9]byte
	b[0] = kind
	binary.BigEndian.PutUint64(b[1:], uint64(n))
	h.Write(b[:])
}

func writeBytes(h hash.Hash, kind byte, b []byte) {
	writeInt(h, kind, int64(len(b)))
	h.Write(b)
}
