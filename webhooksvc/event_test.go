package webhooksvc

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"buf.build/go/protovalidate"
)

// FuzzDecodeEvent feeds bodies that were signed by Stripe but may have any shape: nothing panics, what is stored fits
// into the columns, and each request says which object it is about.
func FuzzDecodeEvent(f *testing.F) {
	files, _ := filepath.Glob("testdata/stories/*.json")
	for _, file := range files {
		body, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(body)
	}
	for _, body := range []string{
		"", "null", "[]", "{}", `{"data":null}`, `{"data":{}}`, `{"object":"event","id":"evt_1","type":"a","data":{"object":null}}`,
		`{"object":"event","id":"evt_1","type":"charge.dispute.closed","created":1,"data":{"object":{"balance_transactions":{"data":[1,{"fee":1}]}}}}`,
		`{"object":"event","id":"evt_1","type":"transfer.reversed","created":1,"data":{"object":{"id":"tr_1","reversals":[{"id":"trr_1","amount":9223372036854775807},{"id":"trr_2","amount":1}],"metadata":{"organizer_id":"x"}}}}`,
		`{"object":"event","id":"evt_1\u0000","type":"a"}`, `{"object":"event","id":"evt_1","type":"a\u0000"}`,
	} {
		f.Add([]byte(body))
	}
	handlers := handlersByType()
	f.Fuzz(func(t *testing.T, body []byte) {
		e, err := decodeEvent(body)
		if err != nil {
			return
		}
		if !isEventID(e.id) || e.typ == "" {
			t.Errorf("accepted id %q, type %q", e.id, e.typ)
		}
		for _, column := range []string{e.typ, e.apiVersion, e.account, e.objectID} {
			if len(column) > textSizeMax || strings.ContainsRune(column, 0) {
				t.Errorf("cannot store %q", column)
			}
		}
		result, err := interpret(e, handlers, e.livemode)
		if err != nil {
			return
		}
		for _, c := range result.calls {
			// The receiver may refuse it; it must not fail to be checked.
			_ = protovalidate.Validate(c.request)
		}
	})
}

// TestHandlers keeps the matrix complete and printable.
func TestHandlers(t *testing.T) {
	t.Parallel()
	handlers := handlersByType() // panics on a type that is listed twice
	page := MatrixMarkdown()
	for eventType, h := range handlers {
		if h.meaning == "" || h.action == "" || h.dedupeKey == "" {
			t.Errorf("%s says too little", eventType)
		}
		if !strings.Contains(page, "| `"+eventType+"` |") {
			t.Errorf("%s is not on the page", eventType)
		}
	}
}
