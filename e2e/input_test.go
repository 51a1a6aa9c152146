package e2e

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"buf.build/gen/go/bufbuild/protovalidate/protocolbuffers/go/buf/validate"
	"github.com/jackc/pgx/v5"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"

	"github.com/dayof/dayof/devenv/client"
	"github.com/dayof/dayof/devenv/cluster"
	"github.com/dayof/dayof/e2e/e2etest"
)

// rpcMethod is one RPC of our contract.
type rpcMethod struct {
	service    string // short name of the service that has it
	descriptor protoreflect.MethodDescriptor
}

func (m rpcMethod) path() string {
	return fmt.Sprintf("/%s/%s", m.descriptor.Parent().FullName(), m.descriptor.Name())
}

// changes reports whether a call may change something, so that it needs a key.
func (m rpcMethod) changes() bool {
	options, _ := m.descriptor.Options().(*descriptorpb.MethodOptions)
	return options.GetIdempotencyLevel() != descriptorpb.MethodOptions_NO_SIDE_EFFECTS
}

// methods are all RPCs of the contract, in the order of their names.
func methods(t *testing.T) []rpcMethod {
	t.Helper()
	var all []rpcMethod
	protoregistry.GlobalFiles.RangeFiles(func(file protoreflect.FileDescriptor) bool {
		service, ours := strings.CutPrefix(string(file.Package()), "dayof.")
		if !ours {
			return true
		}
		service = strings.TrimSuffix(service, ".v1")
		for i := range file.Services().Len() {
			for j := range file.Services().Get(i).Methods().Len() {
				all = append(all, rpcMethod{service: service, descriptor: file.Services().Get(i).Methods().Get(j)})
			}
		}
		return true
	})
	slices.SortFunc(all, func(a, b rpcMethod) int { return strings.Compare(a.path(), b.path()) })
	if len(all) < 40 {
		t.Fatalf("only %d RPCs are known", len(all))
	}
	return all
}

// refusal is what a caller gets of a refused call.
type refusal struct {
	status int
	code   string
	reason string
	fields []string
}

// call posts JSON to an RPC as an operator.
func call(t *testing.T, f client.File, m rpcMethod, key string, body []byte) refusal {
	t.Helper()
	base := map[string]string{"checkout": f.CheckoutURL, "pass": f.PassURL, "ledger": f.LedgerURL, "webhook": f.WebhookURL}[m.service]
	req, err := http.NewRequestWithContext(e2etest.Within(t, 30*time.Second), http.MethodPost, base+m.path(), bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+f.OperatorToken)
	if key != "" {
		req.Header.Set("Idempotency-Key", key)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatalf("%s: %v", m.path(), err)
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatalf("%s: %v", m.path(), err)
	}
	r := refusal{status: res.StatusCode}
	if res.StatusCode == http.StatusOK {
		return r
	}
	var problem struct {
		Code    string `json:"code"`
		Details []struct {
			Type  string `json:"type"`
			Value string `json:"value"`
		} `json:"details"`
	}
	if err := json.Unmarshal(answer, &problem); err != nil {
		t.Fatalf("%s: status %d is no problem: %s", m.path(), res.StatusCode, answer)
	}
	r.code = problem.Code
	for _, d := range problem.Details {
		value, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(d.Value, "="))
		if err != nil {
			t.Fatalf("%s: detail %s: %v", m.path(), d.Type, err)
		}
		switch d.Type {
		case "google.rpc.ErrorInfo":
			var info errdetails.ErrorInfo
			if err := proto.Unmarshal(value, &info); err != nil {
				t.Fatal(err)
			}
			r.reason = info.GetReason()
		case "google.rpc.BadRequest":
			var bad errdetails.BadRequest
			if err := proto.Unmarshal(value, &bad); err != nil {
				t.Fatal(err)
			}
			for _, v := range bad.GetFieldViolations() {
				r.fields = append(r.fields, v.GetField())
			}
		}
	}
	return r
}

// TestBadInput sends every RPC what no honest caller would. All answers are coded problems with a reason, none is internal
// or unknown, and no refused call leaves anything behind.
func TestBadInput(t *testing.T) {
	t.Parallel()
	m := e2etest.NewCluster(t, 1, nil)
	if _, err := client.NewClient(m.File).Seed(e2etest.Within(t, 30*time.Second), m.Clock().Now()); err != nil {
		t.Fatal(err)
	}
	before := countRows(t, m)
	for _, method := range methods(t) {
		t.Run(method.path(), func(t *testing.T) {
			for name, body := range badBodies(method) {
				r := call(t, m.File, method, client.NewKey(), body)
				if r.status == http.StatusOK {
					// A read may take anything for a wish that nothing fulfils; a change may not.
					if method.changes() {
						t.Errorf("%s is accepted", name)
					}
					continue
				}
				assertCoded(t, name, r)
			}
			if !method.changes() {
				return
			}
			body := []byte(`{}`)
			if r := call(t, m.File, method, "", body); r.code != "invalid_argument" || r.reason != "IDEMPOTENCY_KEY_REQUIRED" {
				t.Errorf("without a key: %+v", r)
			}
			for name, key := range map[string]string{"a space": "a b", "256 characters": strings.Repeat("k", 256)} {
				if r := call(t, m.File, method, key, body); r.code != "invalid_argument" || r.reason != "IDEMPOTENCY_KEY_INVALID" {
					t.Errorf("with %s in the key: %+v", name, r)
				}
			}
		})
	}
	if after := countRows(t, m); !maps.Equal(before, after) {
		for table, count := range after {
			if before[table] != count {
				t.Errorf("%s had %d rows and has %d", table, before[table], count)
			}
		}
	}
}

// TestEveryListOfARequestHasALimit looks for lists and maps of requests that the schema lets be as long as the body: a
// refusal of each of their items would cost more than the request.
func TestEveryListOfARequestHasALimit(t *testing.T) {
	t.Parallel()
	for _, method := range methods(t) {
		checkListLimits(t, method.descriptor.Input(), 0)
	}
}

func checkListLimits(t *testing.T, m protoreflect.MessageDescriptor, depth int) {
	t.Helper()
	if m.FullName() == "google.protobuf.FieldMask" {
		return // has a limit of the handlers': see TestMasksHaveALimit
	}
	for i := range m.Fields().Len() {
		f := m.Fields().Get(i)
		rules, _ := proto.GetExtension(f.Options(), validate.E_Field).(*validate.FieldRules)
		if f.IsList() && !rules.GetRepeated().HasMaxItems() || f.IsMap() && !rules.GetMap().HasMaxPairs() {
			t.Errorf("%s has no limit", f.FullName())
		}
		if f.Message() != nil && !f.IsMap() && depth < depthMax {
			checkListLimits(t, f.Message(), depth+1)
		}
	}
}

// assertCoded checks that a refusal says what is wrong and that it is the caller's.
func assertCoded(t *testing.T, name string, r refusal) {
	t.Helper()
	caller := []string{"invalid_argument", "not_found", "failed_precondition", "resource_exhausted", "already_exists"}
	if !slices.Contains(caller, r.code) || r.reason == "" {
		t.Errorf("%s: status %d, code %q, reason %q", name, r.status, r.code, r.reason)
	}
	if r.reason == "INVALID_FIELD" && len(r.fields) == 0 {
		t.Errorf("%s: an invalid field is not named", name)
	}
}

// TestMasksHaveALimit names more fields than any message has.
func TestMasksHaveALimit(t *testing.T) {
	t.Parallel()
	m := e2etest.NewCluster(t, 1, nil)
	body := fmt.Appendf(nil, `{"event_id":"AAAAAAAAAAAAAAAAAAAA","event":{"name":"A"},"update_mask":%q}`, strings.Repeat("name,", 200)+"name")
	found := false
	for _, method := range methods(t) {
		if method.descriptor.Name() == "UpdateEvent" {
			found = true
			if r := call(t, m.File, method, client.NewKey(), body); r.reason != "INVALID_FIELD" || !slices.Contains(r.fields, "update_mask.paths") {
				t.Errorf("a mask of 201 paths: %+v", r)
			}
		}
	}
	if !found {
		t.Error("no RPC has a mask")
	}
}

// badBodies are requests that no method can fulfil.
func badBodies(m rpcMethod) map[string][]byte {
	bodies := map[string][]byte{
		"no JSON":             []byte(`{"`),
		"not an object":       []byte(`[1,2]`),
		"half a megabyte":     []byte(`{"` + strings.Repeat("x", 1<<19) + `":1}`),
		"more than is read":   []byte(`{"x":"` + strings.Repeat("x", 2<<20) + `"}`),
		"an unknown field":    []byte(`{"no_such_field":1}`),
		"deep nesting":        []byte(strings.Repeat(`{"a":`, 20000) + "1" + strings.Repeat("}", 20000)),
		"a broken character":  []byte("{\"\xff\":1}"),
		"every field is null": filled(m, func(protoreflect.FieldDescriptor) any { return nil }),
	}
	if m.descriptor.Input().Fields().Len() == 0 {
		delete(bodies, "every field is null") // an empty request is a good one
		return bodies
	}
	number := func(text string) func(protoreflect.FieldDescriptor) any {
		return func(f protoreflect.FieldDescriptor) any {
			switch f.Kind() {
			case protoreflect.StringKind, protoreflect.BoolKind, protoreflect.EnumKind:
				return plausible(f)
			default:
				return text
			}
		}
	}
	text := func(text string) func(protoreflect.FieldDescriptor) any {
		return func(f protoreflect.FieldDescriptor) any {
			if f.Kind() == protoreflect.StringKind {
				return text
			}
			return plausible(f)
		}
	}
	wrong := func(f protoreflect.FieldDescriptor) any {
		if f.Kind() == protoreflect.StringKind {
			return map[string]any{"a": 1}
		}
		return "text"
	}
	for name, scalar := range map[string]func(protoreflect.FieldDescriptor) any{
		"fields of the wrong type": wrong,
		"ids of nothing":           plausible,
		"texts that are too long":  text(strings.Repeat("A", 20_000)),
		"texts with a NUL":         text("AAAAAAAAAAAAAAAA\x00AAAA"),
		"empty texts":              text(""),
		"numbers below zero":       number("-1"),
		"numbers too large":        number("9223372036854775808"),
		"numbers with a fraction":  number("1.5"),
	} {
		bodies[name] = filled(m, func(f protoreflect.FieldDescriptor) any { return valueFor(f, 0, scalar) })
	}
	if strings.HasSuffix(string(m.descriptor.Parent().Name()), "LedgerService") {
		delete(bodies, "ids of nothing") // a fact for the books, for all that they can know
	}
	if name := m.descriptor.Name(); name == "RecordPayout" || name == "RecordStripeFee" {
		delete(bodies, "numbers below zero") // a payout that debits the bank, a fee that Stripe gives back
	}
	if m.descriptor.Name() == "CreateOrganizer" { // has no numbers, and gives the organiser the id that it is called with
		for _, name := range []string{"ids of nothing", "numbers below zero", "numbers too large", "numbers with a fraction"} {
			delete(bodies, name)
		}
	}
	if m.descriptor.Name() == "ImportGuests" { // these only ask for a check, whose answer is what is wrong
		delete(bodies, "ids of nothing")
		delete(bodies, "numbers below zero")
	}
	for name := range bodies {
		if m.onlyNumbers() && slices.Contains([]string{"ids of nothing", "texts that are too long", "texts with a NUL", "empty texts", "every field is null"}, name) {
			delete(bodies, name)
		}
	}
	return bodies
}

// onlyNumbers reports whether a request has no text at all, so that made-up text is no bad input for it.
func (m rpcMethod) onlyNumbers() bool {
	fields := m.descriptor.Input().Fields()
	for i := range fields.Len() {
		if fields.Get(i).Kind() == protoreflect.StringKind || fields.Get(i).Kind() == protoreflect.MessageKind {
			return false
		}
	}
	return true
}

// filled is a request with every field set.
func filled(m rpcMethod, value func(protoreflect.FieldDescriptor) any) []byte {
	request := map[string]any{}
	fields := m.descriptor.Input().Fields()
	for i := range fields.Len() {
		request[fields.Get(i).JSONName()] = value(fields.Get(i))
	}
	body, err := json.Marshal(request)
	if err != nil {
		panic("a made-up request cannot be written: " + err.Error())
	}
	return body
}

// depthMax ends messages that contain themselves.
const depthMax = 4

// plausible is a value that is well formed for a field and means nothing.
func plausible(f protoreflect.FieldDescriptor) any {
	switch f.Kind() {
	case protoreflect.StringKind:
		return textFor(string(f.Name()))
	case protoreflect.BoolKind:
		return true
	case protoreflect.EnumKind:
		return f.Enum().Values().Get(f.Enum().Values().Len() - 1).Number()
	case protoreflect.DoubleKind:
		return 1.5
	default:
		return "1"
	}
}

// textFor is text of the shape that a field of that name wants.
func textFor(name string) string {
	switch {
	case strings.Contains(name, "payment_intent_id"):
		return "pi_nothing00000000000"
	case strings.Contains(name, "stripe_refund_id"):
		return "re_nothing00000000000"
	case name == "charge_id":
		return "ch_nothing00000000000"
	case strings.Contains(name, "dispute_id"):
		return "du_nothing00000000000"
	case strings.Contains(name, "payout_id"):
		return "po_nothing00000000000"
	case strings.Contains(name, "transfer_reversal_id"):
		return "trr_nothing0000000000"
	case strings.Contains(name, "transfer_id"):
		return "tr_nothing00000000000"
	case strings.Contains(name, "balance_transaction_id"):
		return "txn_nothing0000000000"
	case name == "stripe_account":
		return ""
	case name == "currency":
		return "XTS" // ISO 4217 keeps it for tests
	case name == "page_token":
		return "nothing"
	}
	return "nothing00000000000000"
}

// valueFor builds the value of a field out of its scalars.
func valueFor(f protoreflect.FieldDescriptor, depth int, scalar func(protoreflect.FieldDescriptor) any) any {
	switch {
	case f.IsMap():
		return map[string]any{"nothing": scalar(f.MapValue())}
	case f.Kind() == protoreflect.MessageKind && f.Message().FullName() == "google.protobuf.Timestamp":
		return "2026-01-02T03:04:05Z"
	case f.Kind() == protoreflect.MessageKind:
		message := map[string]any{}
		fields := f.Message().Fields()
		for i := range fields.Len() {
			if depth < depthMax {
				message[fields.Get(i).JSONName()] = valueFor(fields.Get(i), depth+1, scalar)
			}
		}
		if f.IsList() {
			return []any{message}
		}
		return message
	case f.IsList():
		return []any{scalar(f)}
	}
	return scalar(f)
}

// countRows counts the rows of all tables of all services, background bookkeeping left out.
func countRows(t *testing.T, m *cluster.Cluster) map[string]int64 {
	t.Helper()
	ctx := e2etest.Within(t, 30*time.Second)
	counts := map[string]int64{}
	for service, url := range m.File.DatabaseURLs {
		conn, err := pgx.Connect(ctx, url)
		if err != nil {
			t.Fatal(err)
		}
		rows, err := conn.Query(ctx, `select relname from pg_class where relkind = 'r' and relnamespace = 'public'::regnamespace
			and relname not like 'river%' and relname not like '%schema_version' and relname <> 'job_ticks'
			and relname not in ('reconcile_runs', 'reconcile_progress', 'reconcile_records', 'reconcile_unmatched_items')`)
		if err != nil {
			t.Fatal(err)
		}
		tables, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			t.Fatal(err)
		}
		for _, table := range tables {
			var count int64
			if err := conn.QueryRow(ctx, "select count(*) from "+pgx.Identifier{table}.Sanitize()).Scan(&count); err != nil {
				t.Fatal(err)
			}
			counts[service+"."+table] = count
		}
		if err := conn.Close(ctx); err != nil {
			t.Error(err)
		}
	}
	return counts
}
