package webhooksvc

import (
	"cmp"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
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
		`{"object":"event","id":"evt_1","type":"a","livemode":"true","created":"1","api_version":5,"account":[],"data":[{"object":{"id":"x"}}]}`,
		`{"object":"event","id":"evt_1","type":"a","livemode":true,"data":{"object":{"id":7,"livemode":false,"nested":{"id":"y"}}},"related_object":{"id":"z"}}`,
		`{"\u006fbject":"event","i\u0064":"evt_\u0031","type":"a\/b","data":{"ob\u006aect":{"id":"\u0070i_1"}}}`,
		`{"object":"event","id":"evt_1\u0000","type":"a"}`, `{"object":"event","id":"evt_1","type":"a\u0000"}`,
	} {
		f.Add([]byte(body))
	}
	handlers := handlersByType()
	f.Fuzz(func(t *testing.T, body []byte) {
		compareWithMap(t, body)
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

// compareWithMap holds decodeEvent against encoding/json, which reads the same body into maps.
func compareWithMap(t *testing.T, body []byte) {
	t.Helper()
	var value map[string]any
	if json.Unmarshal(body, &value) != nil {
		if e, err := decodeEvent(body); err == nil {
			t.Errorf("accepted %+v of what is no object", e)
		}
		return
	}
	once, err := json.Marshal(value) // each name once
	if err != nil {
		t.Fatal(err)
	}
	e, err := decodeEvent(once)
	id, _ := value["id"].(string)
	object, _ := value["object"].(string)
	eventType, _ := value["type"].(string)
	good := isEventID(id) && (object == objectEvent || object == objectThinEvent) && eventType != "" && storable(eventType) == eventType
	if (err == nil) != good {
		t.Fatalf("%s: %v", once, err)
	}
	if err != nil {
		return
	}
	apiVersion, _ := value["api_version"].(string)
	account, _ := value["account"].(string)
	livemode, _ := value["livemode"].(bool)
	data, _ := value["data"].(map[string]any)
	about, _ := data["object"].(map[string]any)
	objectID, _ := about["id"].(string)
	related, _ := value["related_object"].(map[string]any)
	relatedID, _ := related["id"].(string)
	mode, has := about["livemode"].(bool)
	want := event{
		id: id, object: object, typ: eventType, apiVersion: storable(apiVersion), account: storable(account), livemode: livemode,
		created: e.created, objectID: cmp.Or(storable(objectID), storable(relatedID)), mixedModes: has && mode != livemode, body: once,
	}
	if !reflect.DeepEqual(e, want) {
		t.Errorf("%s\nread as %+v\nwant    %+v", once, e, want)
	}
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
