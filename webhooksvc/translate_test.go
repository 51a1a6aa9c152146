package webhooksvc

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"buf.build/go/protovalidate"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/protojson"
)

var update = flag.Bool("update", false, "rewrite golden files")

// TestTranslateStories pins the requests that the bodies of the Stripe stories become, with their keys.
func TestTranslateStories(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/stories/*.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("no stories: %v", err)
	}
	var got bytes.Buffer
	for _, file := range files {
		body, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		got.WriteString("== " + strings.TrimSuffix(filepath.Base(file), ".json") + "\n")
		describe(t, &got, body)
	}
	golden(t, "testdata/stories.golden", got.Bytes())
}

// TestTranslateVariants pins shapes that the stories do not have: other event types, expanded fields, other API
// versions, and what cannot be translated. One file holds many bodies.
func TestTranslateVariants(t *testing.T) {
	t.Parallel()
	raw, err := os.ReadFile("testdata/variants.json")
	if err != nil {
		t.Fatal(err)
	}
	var variants []struct {
		Name string          `json:"name"`
		Body json.RawMessage `json:"body"`
	}
	if err := json.Unmarshal(raw, &variants); err != nil {
		t.Fatal(err)
	}
	var got bytes.Buffer
	for _, v := range variants {
		got.WriteString("== " + v.Name + "\n")
		describe(t, &got, v.Body)
	}
	golden(t, "testdata/variants.golden", got.Bytes())
}

// describe writes what an event becomes, and checks each request against the schema of its RPC.
func describe(t *testing.T, out *bytes.Buffer, body []byte) {
	t.Helper()
	e, err := decodeEvent(body)
	if err != nil {
		out.WriteString("no event: " + err.Error() + "\n")
		return
	}
	result, err := interpret(e, handlersByType(), false)
	if err != nil {
		out.WriteString("unreadable: " + err.Error() + "\n")
		return
	}
	if result.refusal != "" {
		out.WriteString("refused: " + result.refusal + "\n")
	}
	if result.alert != "" {
		out.WriteString("alert: " + result.alert + "\n")
	}
	for _, c := range result.calls {
		if c.prepare != nil {
			if err := c.prepare(t.Context(), knownLookups()); err != nil {
				out.WriteString("not prepared: " + err.Error() + "\n")
				continue
			}
			out.WriteString("looked up\n")
		}
		if err := protovalidate.Validate(c.request); err != nil {
			t.Errorf("%s: the receiver would refuse it: %v", e.id, err)
		}
		text, err := protojson.Marshal(c.request)
		if err != nil {
			t.Fatal(err)
		}
		out.WriteString(idempotencyKey("account", e.id, 0, c.suffix) + "\n")
		out.WriteString(string(c.request.ProtoReflect().Descriptor().FullName()) + " ")
		if err := json.Indent(out, text, "", "  "); err != nil {
			t.Fatal(err)
		}
		out.WriteString("\n")
	}
}

// knownLookups answer as if everything were known, but for ids that say "unknown".
func knownLookups() lookups {
	return lookups{
		organizer: func(_ context.Context, account string) (string, error) {
			if strings.Contains(account, "unknown") {
				return "", errNoOrganizer
			}
			return "organizer0000lookedup", nil
		},
		charge: func(_ context.Context, account, id string) (charge, error) {
			switch {
			case strings.Contains(id, "unknown"):
				return charge{}, errNotAtStripe
			case strings.Contains(id, "foreign"):
				return charge{ID: id, PaymentIntent: "pi_foreign"}, nil
			}
			return charge{ID: id, PaymentIntent: reference("pi_of_" + account + "_" + id), Metadata: metadata{"order_id": "ord_4DFJiRdPUPa5LD93"}}, nil
		},
		applicationFee: func(_ context.Context, id string) (applicationFee, error) {
			return applicationFee{ID: id, Account: "acct_1lookedup", Amount: 250, AmountRefunded: 100, Charge: "ch_1", Created: 1764000000, Currency: "eur"}, nil
		},
		payoutSum: func(_ context.Context, _, payoutID string) (count, net int64, err error) {
			if strings.Contains(payoutID, "large") {
				return 0, 0, errPayoutLarge
			}
			return 3, 12345, nil
		},
	}
}

func golden(t *testing.T, file string, got []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s (-want +got), -update rewrites it:\n%s", file, diff)
	}
}
