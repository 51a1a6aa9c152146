package rpc_test

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"connectrpc.com/connect"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/dayof/dayof/internal/chassis/problem"
	"github.com/dayof/dayof/internal/chassis/rpc"
	"github.com/dayof/dayof/internal/chassis/rpc/testpb"
)

// secretKey is a key that a caller without a token may have.
const secretKey = "0b9c7c1e-5a0f-4b7e-9d0f-2f4f6c1a8e3d"

// refused is what a raw request was answered.
type refused struct {
	status int // of HTTP
	code   connect.Code
	text   string
	reason string
	fields []problem.Field
}

// post sends raw bytes to Write and reads the refusal in the protocol of the request.
func post(t testing.TB, s *server, header http.Header, body io.Reader) refused {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.url+testpb.NotebookServiceWriteProcedure, body)
	if err != nil {
		t.Fatal(err)
	}
	req.Header = header.Clone()
	if req.Header.Get("Idempotency-Key") == "" {
		req.Header.Set("Idempotency-Key", secretKey)
	}
	httpClient, _ := rpc.Dial(rpc.DialConfig{BaseURL: s.url})
	t.Cleanup(httpClient.CloseIdleConnections)
	res, err := httpClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	raw, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	if strings.HasPrefix(header.Get("Content-Type"), "application/grpc") {
		return readGRPC(t, res)
	}
	return readConnect(t, res, raw)
}

func readConnect(t testing.TB, res *http.Response, raw []byte) refused {
	t.Helper()
	out := refused{status: res.StatusCode}
	if res.StatusCode == http.StatusOK || len(raw) == 0 {
		return out
	}
	var wire struct {
		Code    connect.Code
		Message string
		Details []struct{ Type, Value string }
	}
	if err := json.Unmarshal(raw, &wire); err != nil {
		t.Fatalf("answer %q: %v", raw, err)
	}
	out.code, out.text = wire.Code, wire.Message
	for _, d := range wire.Details {
		value, err := base64.RawStdEncoding.DecodeString(d.Value)
		if err != nil {
			t.Fatal(err)
		}
		out.detail(t, &anypb.Any{TypeUrl: "type.googleapis.com/" + d.Type, Value: value})
	}
	return out
}

func readGRPC(t testing.TB, res *http.Response) refused {
	t.Helper()
	out := refused{status: res.StatusCode}
	header := res.Trailer
	if header.Get("Grpc-Status") == "" {
		header = res.Header
	}
	if n := len(res.Header.Values("Grpc-Status")) + len(res.Trailer.Values("Grpc-Status")); n != 1 {
		t.Errorf("%d statuses, headers %v, trailers %v", n, res.Header, res.Trailer)
	}
	bin, err := connect.DecodeBinaryHeader(header.Get("Grpc-Status-Details-Bin"))
	if err != nil {
		t.Fatal(err)
	}
	var status spb.Status
	if err := proto.Unmarshal(bin, &status); err != nil {
		t.Fatal(err)
	}
	out.code, out.text = connect.Code(status.GetCode()), status.GetMessage()
	if got := header.Get("Grpc-Status"); got != strconv.Itoa(int(status.GetCode())) {
		t.Errorf("status is %s, its details say %d", got, status.GetCode())
	}
	for _, d := range status.GetDetails() {
		out.detail(t, d)
	}
	return out
}

func (r *refused) detail(t testing.TB, d *anypb.Any) {
	t.Helper()
	m, err := d.UnmarshalNew()
	if err != nil {
		t.Fatal(err)
	}
	switch m := m.(type) {
	case *errdetails.ErrorInfo:
		r.reason = m.GetReason()
		if m.GetDomain() != "dayof" {
			t.Errorf("domain %q", m.GetDomain())
		}
	case *errdetails.BadRequest:
		for _, v := range m.GetFieldViolations() {
			r.fields = append(r.fields, problem.Field{Path: v.GetField(), Description: v.GetDescription()})
		}
	}
}

// envelope frames a gRPC message: promised is the length it says, when that differs.
func envelope(flags byte, message []byte, promised ...int) []byte {
	size := len(message)
	if len(promised) > 0 {
		size = promised[0]
	}
	out := binary.BigEndian.AppendUint32([]byte{flags}, uint32(size))
	return append(out, message...)
}

func zipped(t testing.TB, size int) []byte {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write(bytes.Repeat([]byte(" "), size)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// Whatever bytes arrive, the answer is a coded problem with a reason, is logged once, and is never internal.
func TestBrokenRequests(t *testing.T) {
	t.Parallel()
	asJSON := http.Header{"Content-Type": {"application/json"}}
	asProto := http.Header{"Content-Type": {"application/proto"}}
	with := func(h http.Header, name, value string) http.Header {
		h = h.Clone()
		h.Set(name, value)
		return h
	}
	const mib = 1 << 20
	bomb := zipped(t, 10*mib)
	connectCases := map[string]struct {
		header http.Header
		body   []byte
		code   connect.Code
		reason string
		field  string // path
	}{
		"no JSON":              {asJSON, []byte(`hello`), connect.CodeInvalidArgument, problem.ReasonMalformedRequest, ""},
		"half JSON":            {asJSON, []byte(`{"text":`), connect.CodeInvalidArgument, problem.ReasonMalformedRequest, ""},
		"empty JSON":           {asJSON, nil, connect.CodeInvalidArgument, problem.ReasonMalformedRequest, ""},
		"JSON with charset":    {with(asJSON, "Content-Type", "application/json; charset=utf-8"), []byte(`{"text":1}`), connect.CodeInvalidArgument, problem.ReasonMalformedRequest, "text"},
		"wrong type":           {asJSON, []byte(`{"text":"x","lines":[{"quantity":"many"}]}`), connect.CodeInvalidArgument, problem.ReasonMalformedRequest, "quantity"},
		"fraction":             {asJSON, []byte(`{"text":"x","lines":[{"quantity":1.5}]}`), connect.CodeInvalidArgument, problem.ReasonMalformedRequest, "quantity"},
		"out of range":         {asJSON, []byte(`{"text":"x","lines":[{"quantity":9999999999}]}`), connect.CodeInvalidArgument, problem.ReasonMalformedRequest, "quantity"},
		"unknown field":        {asJSON, []byte(`{"text":"x","texd":"y"}`), connect.CodeInvalidArgument, problem.ReasonMalformedRequest, "texd"},
		"twice the same field": {asJSON, []byte(`{"text":"x","text":"y"}`), connect.CodeInvalidArgument, problem.ReasonMalformedRequest, "text"},
		"deep nesting":         {asJSON, bytes.Repeat([]byte(`{"lines":[`), 1500), connect.CodeInvalidArgument, problem.ReasonMalformedRequest, "lines"},
		"breaks a rule":        {asJSON, []byte(`{"text":"x","lines":[{"quantity":0}]}`), connect.CodeInvalidArgument, problem.ReasonInvalidField, "lines[0].quantity"},
		"no protobuf":          {asProto, []byte("\xff\xff\xff"), connect.CodeInvalidArgument, problem.ReasonMalformedRequest, ""},
		"bad UTF-8":            {asProto, []byte("\x0a\x01\xff"), connect.CodeInvalidArgument, problem.ReasonMalformedRequest, ""},
		"a little too large":   {asProto, make([]byte, mib+1), connect.CodeInvalidArgument, problem.ReasonRequestTooLarge, ""},
		"far too large":        {asProto, make([]byte, 5*mib), connect.CodeInvalidArgument, problem.ReasonRequestTooLarge, ""},
		"no gzip":              {with(asProto, "Content-Encoding", "gzip"), []byte("hello"), connect.CodeInvalidArgument, problem.ReasonMalformedRequest, ""},
		"gzip bomb":            {with(asProto, "Content-Encoding", "gzip"), bomb, connect.CodeInvalidArgument, problem.ReasonRequestTooLarge, ""},
		"unknown encoding":     {with(asProto, "Content-Encoding", "br"), []byte("x"), connect.CodeUnimplemented, problem.ReasonMalformedRequest, ""},
		"bad timeout":          {with(asJSON, "Connect-Timeout-Ms", "soon"), []byte(`{"text":"x"}`), connect.CodeInvalidArgument, problem.ReasonMalformedRequest, ""},
		"negative timeout":     {with(asJSON, "Connect-Timeout-Ms", "-5"), []byte(`{"text":"x"}`), connect.CodeInvalidArgument, problem.ReasonMalformedRequest, ""},
		"bad protocol version": {with(asJSON, "Connect-Protocol-Version", "9"), []byte(`{"text":"x"}`), connect.CodeInvalidArgument, problem.ReasonMalformedRequest, ""},
	}
	for name, tc := range connectCases {
		t.Run("connect/"+name, func(t *testing.T) {
			t.Parallel()
			s := newServer(t, &notebook{}, nil)
			wantRefusal(t, s, post(t, s, tc.header, bytes.NewReader(tc.body)), tc.code, tc.reason, tc.field)
		})
	}
	good, err := proto.Marshal(&testpb.WriteRequest{Text: "x"})
	if err != nil {
		t.Fatal(err)
	}
	grpcCases := map[string]struct {
		body   []byte
		extra  string // "Name: value"
		code   connect.Code
		reason string
	}{
		"no message":                {nil, "", connect.CodeUnimplemented, problem.ReasonMalformedRequest},
		"two messages":              {append(envelope(0, good), envelope(0, good)...), "", connect.CodeUnimplemented, problem.ReasonMalformedRequest},
		"half a prefix":             {[]byte{0, 0}, "", connect.CodeInvalidArgument, problem.ReasonMalformedRequest},
		"half a message":            {envelope(0, good, len(good)+10), "", connect.CodeInvalidArgument, problem.ReasonMalformedRequest},
		"no protobuf":               {envelope(0, []byte("\xff\xff")), "", connect.CodeInvalidArgument, problem.ReasonMalformedRequest},
		"unknown flags":             {envelope(0x42, good), "", connect.CodeInvalidArgument, problem.ReasonMalformedRequest},
		"trailers and a message":    {append(envelope(0x80, []byte("a: b\r\n")), envelope(0, good)...), "", connect.CodeInvalidArgument, problem.ReasonMalformedRequest},
		"compressed but not agreed": {envelope(1, good), "", connect.CodeInvalidArgument, problem.ReasonMalformedRequest},
		"compressed but no gzip":    {envelope(1, good), "Grpc-Encoding: gzip", connect.CodeInvalidArgument, problem.ReasonMalformedRequest},
		"unknown encoding":          {envelope(0, good), "Grpc-Encoding: br", connect.CodeUnimplemented, problem.ReasonMalformedRequest},
		"gzip bomb":                 {envelope(1, bomb), "Grpc-Encoding: gzip", connect.CodeInvalidArgument, problem.ReasonRequestTooLarge},
		"promises 4 GiB":            {envelope(0, good, 1<<32-1), "", connect.CodeInvalidArgument, problem.ReasonRequestTooLarge},
		"too large":                 {envelope(0, make([]byte, 3*mib)), "", connect.CodeInvalidArgument, problem.ReasonRequestTooLarge},
		"bad timeout":               {envelope(0, good), "Grpc-Timeout: soon", connect.CodeInvalidArgument, problem.ReasonMalformedRequest},
	}
	for name, tc := range grpcCases {
		for _, protocol := range []string{"grpc", "grpc-web"} {
			t.Run(protocol+"/"+name, func(t *testing.T) {
				t.Parallel()
				s := newServer(t, &notebook{}, nil)
				header := http.Header{"Content-Type": {"application/" + protocol + "+proto"}}
				if k, v, ok := strings.Cut(tc.extra, ": "); ok {
					header.Set(k, v)
				}
				wantRefusal(t, s, post(t, s, header, bytes.NewReader(tc.body)), tc.code, tc.reason, "")
			})
		}
	}
}

func wantRefusal(t *testing.T, s *server, got refused, code connect.Code, reason, field string) {
	t.Helper()
	if got.code != code || got.reason != reason || got.text == "" {
		t.Errorf("got %+v, want %v %s", got, code, reason)
	}
	if field != "" && (len(got.fields) != 1 || got.fields[0].Path != field) {
		t.Errorf("fields %+v, want %s", got.fields, field)
	}
	for _, leak := range []string{"testpb", "proto:", "unmarshal", "protocol error"} {
		if strings.Contains(got.text, leak) {
			t.Errorf("our insides show: %q", got.text)
		}
	}
	lines := s.log.rpcs(t)
	if len(lines) != 1 || lines[0]["code"] != code.String() || lines[0]["reason"] != reason ||
		lines[0]["procedure"] != testpb.NotebookServiceWriteProcedure {
		t.Errorf("log %v", lines)
	}
}

// What is no RPC at all is refused with HTTP's status, a sentence and a reason, in every protocol.
func TestNotAnRPC(t *testing.T) {
	t.Parallel()
	s := newServer(t, &notebook{}, func(_ *rpc.HandlerConfig, c *rpc.Config) {
		c.Routes = map[string]http.Handler{"GET /page": http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})}
	})
	for name, tc := range map[string]struct {
		method, path, contentType string
		status                    int
		code                      connect.Code
		reason, header            string
	}{
		"content type":          {"POST", testpb.NotebookServiceWriteProcedure, "text/html", 415, connect.CodeInvalidArgument, problem.ReasonUnsupportedMediaType, "Accept-Post"},
		"method":                {"DELETE", testpb.NotebookServiceWriteProcedure, "application/json", 405, connect.CodeUnimplemented, problem.ReasonMethodNotAllowed, "Allow"},
		"unknown method":        {"POST", "/" + testpb.NotebookServiceName + "/Burn", "application/json", 404, connect.CodeUnimplemented, problem.ReasonUnknownMethod, ""},
		"unknown method, proto": {"POST", "/" + testpb.NotebookServiceName + "/Burn", "application/proto", 404, connect.CodeUnimplemented, problem.ReasonUnknownMethod, ""},
		"unknown method, gRPC":  {"POST", "/" + testpb.NotebookServiceName + "/Burn", "application/grpc", 200, connect.CodeUnimplemented, problem.ReasonUnknownMethod, ""},
		"unknown path":          {"POST", "/nothing/here", "application/json", 404, connect.CodeUnimplemented, problem.ReasonUnknownMethod, ""},
		"unknown path, gRPC":    {"POST", "/nothing/here", "application/grpc", 200, connect.CodeUnimplemented, problem.ReasonUnknownMethod, ""},
		"unknown page":          {"GET", "/nothing/here", "", 404, connect.CodeUnimplemented, problem.ReasonUnknownMethod, ""},
		"method of a page":      {"POST", "/page", "", 405, connect.CodeUnimplemented, problem.ReasonMethodNotAllowed, "Allow"},
	} {
		req, err := http.NewRequestWithContext(t.Context(), tc.method, s.url+tc.path, strings.NewReader("x"))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", tc.contentType)
		client, _ := rpc.Dial(rpc.DialConfig{BaseURL: s.url})
		t.Cleanup(client.CloseIdleConnections)
		res, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		raw, err := io.ReadAll(res.Body)
		if err := errors.Join(err, res.Body.Close()); err != nil {
			t.Fatal(err)
		}
		var got refused
		if strings.HasPrefix(tc.contentType, "application/grpc") {
			got = readGRPC(t, res)
		} else {
			got = readConnect(t, res, raw)
		}
		if got.status != tc.status || got.code != tc.code || got.reason != tc.reason || got.text == "" {
			t.Errorf("%s: %+v, want %d %v %s", name, got, tc.status, tc.code, tc.reason)
		}
		if tc.header != "" && res.Header.Get(tc.header) == "" {
			t.Errorf("%s: the header %s is lost", name, tc.header)
		}
	}
}
