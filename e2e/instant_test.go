package e2e

import (
	"bytes"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/dayof/dayof/devenv/client"
)

// TestInstantsOutsideOfTheCalendar sends every RPC each of its timestamps as milliseconds that are taken for seconds, in
// binary, where nothing but the service checks them: each is refused by its path.
func TestInstantsOutsideOfTheCalendar(t *testing.T) {
	t.Parallel()
	m := newCluster(t, 1, nil)
	tried := 0
	for _, method := range methods(t) {
		for path, message := range withFarInstants(method.descriptor.Input(), 0) {
			tried++
			body, err := proto.Marshal(message.Interface())
			if err != nil {
				t.Fatal(err)
			}
			base := map[string]string{
				"checkout": m.File.CheckoutURL, "pass": m.File.PassURL, "ledger": m.File.LedgerURL, "webhook": m.File.WebhookURL,
			}[method.service]
			req, err := http.NewRequestWithContext(within(t, 30*time.Second), http.MethodPost, base+method.path(), bytes.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Content-Type", "application/proto")
			req.Header.Set("Authorization", "Bearer "+m.File.OperatorToken)
			req.Header.Set("Idempotency-Key", client.NewKey())
			res, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			answer, err := io.ReadAll(res.Body)
			_ = res.Body.Close()
			if err != nil || !strings.Contains(string(answer), "INVALID_FIELD") || !strings.Contains(string(answer), path+": must be an instant") {
				t.Errorf("%s %s: %s %s", method.path(), path, answer, err)
			}
		}
	}
	if tried < 20 {
		t.Errorf("only %d timestamps were tried", tried)
	}
}

// withFarInstants returns messages with one far instant each, by the path of the field.
func withFarInstants(d protoreflect.MessageDescriptor, depth int) map[string]protoreflect.Message {
	out := map[string]protoreflect.Message{}
	for i := range d.Fields().Len() {
		f := d.Fields().Get(i)
		if f.Message() == nil || f.IsMap() || depth > 3 {
			continue
		}
		inner := map[string]protoreflect.Message{}
		if f.Message().FullName() == "google.protobuf.Timestamp" {
			far := dynamicpb.NewMessage(f.Message())
			far.Set(f.Message().Fields().ByName("seconds"), protoreflect.ValueOfInt64(1764259200000))
			inner[""] = far
		} else {
			inner = withFarInstants(f.Message(), depth+1)
		}
		for path, value := range inner {
			message := dynamicpb.NewMessage(d)
			name := string(f.Name())
			if f.IsList() {
				list := message.NewField(f).List()
				list.Append(protoreflect.ValueOfMessage(value))
				message.Set(f, protoreflect.ValueOfList(list))
				name += "[0]"
			} else {
				message.Set(f, protoreflect.ValueOfMessage(value))
			}
			if path != "" {
				name += "." + path
			}
			out[name] = message
		}
	}
	return out
}
