package checkoutsvc_test

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	"github.com/dayof/dayof/checkoutsvc"
	"github.com/dayof/dayof/internal/chassis/rpc"
)

// What one call of a stranger may cost at most. The processor time is many times what a call needs, so that it fails for a
// cost that grows with the body and not for a slow machine.
const (
	answerBytesMax    = 64 << 10
	allocatedBytesMax = 8 << 20
	processorTimeMax  = 50 * time.Millisecond
	// publicBodyBytes is the size limit of a public call's message.
	publicBodyBytes = 16 << 10
	// bombBytes is how long the bodies are that are sent although they are over the limit.
	bombBytes = 1 << 20
)

// TestNoPublicCallCostsMuch sends each public RPC the worst bodies that its descriptor gives rise to, up to the size limit
// and above it, plain and compressed, in every protocol. The service does nothing else meanwhile, so that the process's
// own counters are those of the call.
func TestNoPublicCallCostsMuch(t *testing.T) {
	w := newHarnessAlone(t, func(c *checkoutsvc.Config) { c.SweepInterval = time.Hour })
	sent := 0
	for procedure, role := range checkoutsvc.Policy() {
		if role != rpc.RolePublic {
			continue
		}
		for name, body := range worstBodies(requestOf(t, procedure)) {
			for _, protocol := range []string{"connect", "grpc"} {
				for _, zip := range []bool{false, true} {
					if len(body.bytes) > publicBodyBytes && !zip {
						continue // it would cost the sender as much
					}
					sent++
					c := callCost(t, w.replicas[0].url+procedure, protocol, zip, body)
					if c.answer > answerBytesMax || c.allocated > allocatedBytesMax || c.processor > processorTimeMax {
						t.Errorf("%s %s, %s, zipped %t: %d bytes of answer, %d bytes allocated, %v of processor time",
							procedure, name, protocol, zip, c.answer, c.allocated, c.processor)
					}
				}
			}
		}
	}
	if sent < 500 {
		t.Errorf("only %d calls were made", sent)
	}
}

// requestOf returns the request message of a procedure.
func requestOf(t *testing.T, procedure string) protoreflect.MessageDescriptor {
	t.Helper()
	name := strings.ReplaceAll(strings.TrimPrefix(procedure, "/"), "/", ".")
	d, err := protoregistry.GlobalFiles.FindDescriptorByName(protoreflect.FullName(name))
	if err != nil {
		t.Fatal(err)
	}
	method, ok := d.(protoreflect.MethodDescriptor)
	if !ok {
		t.Fatalf("%s is no method", name)
	}
	return method.Input()
}

// overHTTP2 carries gRPC.
var overHTTP2, _ = rpc.Dial(rpc.DialConfig{BaseURL: "http://127.0.0.1"})

type cost struct {
	answer    int
	allocated uint64
	processor time.Duration
}

// callCost makes a call and returns the least that it cost in some tries: what else the process did falls on one of them.
func callCost(t *testing.T, url, protocol string, zip bool, body worstBody) cost {
	t.Helper()
	least := cost{allocated: 1 << 62, processor: time.Hour}
	for try := range 5 {
		if try > 0 {
			runtime.GC() // so that none is under way while the call is
		}
		req := rawRequest(t, url, protocol, zip, body)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		started := processorTime(t)
		client := http.DefaultClient
		if protocol == "grpc" {
			client = overHTTP2
		}
		res, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		answer, err := io.ReadAll(io.LimitReader(res.Body, 100<<20))
		_ = res.Body.Close()
		size := len(answer)
		if err != nil { // more than a client takes, as in trailers
			size += 100 << 20
		}
		for _, header := range []http.Header{res.Header, res.Trailer} {
			for name, values := range header {
				size += len(name) + len(strings.Join(values, ""))
			}
		}
		spent := processorTime(t) - started
		runtime.ReadMemStats(&after)
		least.answer = max(least.answer, size)
		least.allocated = min(least.allocated, after.TotalAlloc-before.TotalAlloc)
		least.processor = min(least.processor, spent)
		if least.answer > answerBytesMax || least.allocated <= allocatedBytesMax && least.processor <= processorTimeMax {
			break
		}
	}
	return least
}

// processorTime is what this process has used so far.
func processorTime(t *testing.T) time.Duration {
	t.Helper()
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		t.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

func rawRequest(t *testing.T, url, protocol string, zip bool, body worstBody) *http.Request {
	t.Helper()
	header := http.Header{"Idempotency-Key": {"k"}}
	raw := body.bytes
	if zip {
		var b bytes.Buffer
		z := gzip.NewWriter(&b)
		if _, err := z.Write(raw); err != nil {
			t.Fatal(err)
		}
		if err := z.Close(); err != nil {
			t.Fatal(err)
		}
		raw = b.Bytes()
	}
	switch protocol {
	case "grpc":
		header.Set("Content-Type", "application/grpc+"+body.codec)
		flags := byte(0)
		if zip {
			flags = 1
			header.Set("Grpc-Encoding", "gzip")
		}
		raw = append(binary.BigEndian.AppendUint32([]byte{flags}, uint32(len(raw))), raw...)
	default:
		header.Set("Content-Type", "application/"+body.codec)
		if zip {
			header.Set("Content-Encoding", "gzip")
		}
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	req.Header = header
	return req
}

// worstBody is a body that may cost more than it weighs.
type worstBody struct {
	codec string // "proto" or "json"
	bytes []byte
}

// worstBodies are bodies of a message: each of its fields, at any depth, as often and as long as the limit lets it, and far
// beyond the limit; and JSON that is no message at all.
func worstBodies(m protoreflect.MessageDescriptor) map[string]worstBody {
	bodies := map[string]worstBody{}
	for _, size := range []int{publicBodyBytes, bombBytes} {
		sized := func(name string) string { return fmt.Sprintf("%s, %d KiB", name, size>>10) }
		bodies[sized("empty messages")] = worstBody{"proto", bytes.Repeat([]byte{0x12, 0}, size/2)}
		bodies[sized("an unknown field")] = worstBody{"json", fill(`{"`, "x", `":1}`, size)}
		bodies[sized("many unknown fields")] = worstBody{"proto", bytes.Repeat([]byte{0xf8, 0x7f, 1}, size/3)}
		bodies[sized("nesting")] = worstBody{"json", fill("", `{"lines":[`, "", size)}
		bodies[sized("white space")] = worstBody{"json", fill("{", " ", "}", size)}
		walkFields(m, nil, func(path []protoreflect.FieldDescriptor) {
			name := string(path[len(path)-1].FullName())
			for _, text := range []string{"A", "\x00", "ü", `"`, "%"} {
				bodies[sized(fmt.Sprintf("%s of %q", name, text))] = worstBody{"proto", nested(path, longValue(path[len(path)-1], text, size))}
			}
			bodies[sized(name+" again and again")] = worstBody{"proto", repeatField(path, size)}
			bodies[sized(name+" of the wrong type")] = worstBody{"json", wrongType(path, size)}
		})
	}
	return bodies
}

// fill repeats the middle until the whole is of a size.
func fill(before, middle, after string, size int) []byte {
	return []byte(before + strings.Repeat(middle, (size-len(before)-len(after))/len(middle)) + after)
}

// walkFields visits each field at any depth, with the fields that lead to it.
func walkFields(m protoreflect.MessageDescriptor, path []protoreflect.FieldDescriptor, visit func(path []protoreflect.FieldDescriptor)) {
	for i := range m.Fields().Len() {
		f := m.Fields().Get(i)
		at := slices.Concat(path, []protoreflect.FieldDescriptor{f})
		visit(at)
		if f.Message() != nil && len(path) < 4 {
			walkFields(f.Message(), at, visit)
		}
	}
}

// longValue is a value of a field that is as long as it may be.
func longValue(f protoreflect.FieldDescriptor, text string, size int) []byte {
	tag := protowire.AppendTag(nil, f.Number(), protowire.BytesType)
	return protowire.AppendString(tag, strings.Repeat(text, (size-16)/len(text)))
}

// repeatField is the innermost field of a path with the least value, as often as fits.
func repeatField(path []protoreflect.FieldDescriptor, size int) []byte {
	last := path[len(path)-1]
	one := protowire.AppendTag(nil, last.Number(), protowire.BytesType)
	one = append(one, 0)
	if last.Message() == nil && last.Kind() != protoreflect.StringKind && last.Kind() != protoreflect.BytesKind {
		one = protowire.AppendVarint(protowire.AppendTag(nil, last.Number(), protowire.VarintType), 0)
	}
	if len(path) > 1 && path[len(path)-2].IsList() {
		// Each item of the list with one such field.
		list := path[len(path)-2]
		item := protowire.AppendBytes(protowire.AppendTag(nil, list.Number(), protowire.BytesType), one)
		return nested(path[:len(path)-1], bytes.Repeat(item, (size-16)/len(item)))
	}
	return nested(path, bytes.Repeat(one, (size-16)/len(one)))
}

// nested wraps the encoded fields of the innermost message of a path in the messages around it.
func nested(path []protoreflect.FieldDescriptor, fields []byte) []byte {
	for i := len(path) - 2; i >= 0; i-- {
		fields = protowire.AppendBytes(protowire.AppendTag(nil, path[i].Number(), protowire.BytesType), fields)
	}
	return fields
}

// wrongType is JSON whose innermost value is a long one of a type that the field does not have.
func wrongType(path []protoreflect.FieldDescriptor, size int) []byte {
	before, after := "", ""
	for _, f := range path {
		before += `{"` + f.JSONName() + `":`
		after = "}" + after
		if f.IsList() {
			before += "["
			after = "]" + after
		}
	}
	if path[len(path)-1].Kind() == protoreflect.StringKind {
		return fill(before, "1", after, size)
	}
	return fill(before+`"`, "x", `"`+after, size)
}
