package rpc

import (
	"context"
	"fmt"
	"strconv"
	"sync"

	"buf.build/gen/go/bufbuild/protovalidate/protocolbuffers/go/buf/validate"
	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/dayof/dayof/internal/chassis/instant"
	"github.com/dayof/dayof/internal/chassis/problem"
)

// sizes is the interceptor before the validation of the schema's rules. It refuses lists and maps that are too long before
// a rule is applied to each of their items, so that a refusal costs no more than the schema allows a good request to cost;
// and instants that no answer could show.
type sizes struct{}

// WrapUnary implements connect.Interceptor.
func (sizes) WrapUnary(next connect.UnaryFunc) connect.UnaryFunc {
	return func(ctx context.Context, req connect.AnyRequest) (connect.AnyResponse, error) {
		if err := checkSizes(req.Any()); err != nil {
			return nil, err
		}
		return next(ctx, req)
	}
}

// WrapStreamingClient implements connect.Interceptor.
func (sizes) WrapStreamingClient(next connect.StreamingClientFunc) connect.StreamingClientFunc {
	return next
}

// WrapStreamingHandler implements connect.Interceptor.
func (sizes) WrapStreamingHandler(next connect.StreamingHandlerFunc) connect.StreamingHandlerFunc {
	return func(ctx context.Context, conn connect.StreamingHandlerConn) error {
		return next(ctx, sizedConn{conn})
	}
}

// sizedConn is the connection of a stream whose requests are looked at.
type sizedConn struct{ connect.StreamingHandlerConn }

// Receive implements connect.StreamingHandlerConn.
func (c sizedConn) Receive(message any) error {
	if err := c.StreamingHandlerConn.Receive(message); err != nil {
		return err
	}
	return checkSizes(message)
}

// checkSizes refuses a message with fields that are too long, or that are no instants.
func checkSizes(message any) error {
	m, ok := message.(proto.Message)
	if !ok {
		return nil
	}
	var found violations
	found.message("", m.ProtoReflect())
	return problem.InvalidFields(found...)
}

// violationsMax is where the search for violations ends: a refusal names no more.
const violationsMax = 16

// violations are the fields of a message that are too long, or that are no instants.
type violations []problem.Field

func (v *violations) add(path, description string) {
	*v = append(*v, problem.Field{Path: path, Description: description})
}

// message looks at the fields of a message at a path, and below them where they are not too long themselves.
func (v *violations) message(path string, m protoreflect.Message) {
	if at, ok := m.Interface().(*timestamppb.Timestamp); ok {
		if at.CheckValid() != nil || !instant.Valid(at.AsTime()) {
			v.add(path, instant.Rule)
		}
		return
	}
	m.Range(func(f protoreflect.FieldDescriptor, value protoreflect.Value) bool {
		name := string(f.Name())
		if path != "" {
			name = path + "." + name
		}
		switch {
		case f.IsList():
			v.list(name, f, value.List())
		case f.IsMap():
			v.pairs(name, f, value.Map())
		case f.Message() != nil:
			v.message(name, value.Message())
		}
		return len(*v) < violationsMax
	})
}

func (v *violations) list(path string, f protoreflect.FieldDescriptor, list protoreflect.List) {
	if limit := sizeLimit(f); uint64(list.Len()) > limit {
		v.add(path, fmt.Sprintf("must have at most %d items", limit))
		return
	}
	if f.Message() == nil {
		return
	}
	for i := 0; i < list.Len() && len(*v) < violationsMax; i++ {
		v.message(path+"["+strconv.Itoa(i)+"]", list.Get(i).Message())
	}
}

func (v *violations) pairs(path string, f protoreflect.FieldDescriptor, pairs protoreflect.Map) {
	if limit := sizeLimit(f); uint64(pairs.Len()) > limit {
		v.add(path, fmt.Sprintf("must have at most %d entries", limit))
		return
	}
	if f.MapValue().Message() == nil {
		return
	}
	pairs.Range(func(key protoreflect.MapKey, value protoreflect.Value) bool {
		v.message(path+"["+strconv.Quote(key.String())+"]", value.Message())
		return len(*v) < violationsMax
	})
}

// sizeLimits remembers the limits of fields: uint64 by protoreflect.FieldDescriptor.
var sizeLimits sync.Map

// Masks are not ours, so that no rule of the schema limits them; no message has a hundred fields to name.
const (
	maskPaths    = "google.protobuf.FieldMask.paths"
	maskPathsMax = 100
)

// sizeLimit is how many items the schema lets a list or a map have; without a rule there is no limit but the body's and that of masks.
func sizeLimit(f protoreflect.FieldDescriptor) uint64 {
	if known, ok := sizeLimits.Load(f); ok {
		if limit, ok := known.(uint64); ok {
			return limit
		}
	}
	limit := ^uint64(0)
	if f.FullName() == maskPaths {
		limit = maskPathsMax
	}
	if rules, ok := proto.GetExtension(f.Options(), validate.E_Field).(*validate.FieldRules); ok {
		switch {
		case rules.GetRepeated().HasMaxItems():
			limit = rules.GetRepeated().GetMaxItems()
		case rules.GetMap().HasMaxPairs():
			limit = rules.GetMap().GetMaxPairs()
		}
	}
	sizeLimits.Store(f, limit)
	return limit
}
