package stripe

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
)

func FuzzIndent(f *testing.F) {
	files, err := filepath.Glob("testdata/events/*.json")
	if err != nil {
		f.Fatalf("samples: %v", err)
	}
	for _, file := range files {
		sample, err := os.ReadFile(file)
		if err != nil {
			f.Fatalf("read sample: %v", err)
		}
		f.Add(sample)
	}
	for _, text := range []string{`{}`, `[]`, `[[],{}]`, `{"a\\":"\"{[,:","b":[1,2.5e3,null,true]}`, `"x"`, `"Größe „x“ \u2028"`} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		var compact, want bytes.Buffer
		if json.Compact(&compact, raw) != nil {
			return
		}
		if err := json.Indent(&want, compact.Bytes(), "", "  "); err != nil {
			t.Fatalf("indent: %v", err)
		}
		if got := indent(compact.Bytes()); !bytes.Equal(got, want.Bytes()) {
			t.Fatalf("got %s\nwant %s", got, want.Bytes())
		}
	})
}
