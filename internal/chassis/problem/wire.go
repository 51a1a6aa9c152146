package problem

import (
	"errors"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
)

// ConnectError returns p in its form on the wire: at most 16 fields and 4 KiB of text, however much was wrong.
func (p *Problem) ConnectError() *connect.Error {
	p = p.bounded()
	out := connect.NewError(p.Code, errors.New(p.Detail))
	if p.Reason != "" {
		addDetail(out, &errdetails.ErrorInfo{Reason: p.Reason, Domain: Domain})
	}
	if len(p.Fields) > 0 {
		bad := &errdetails.BadRequest{}
		for _, f := range p.Fields {
			bad.FieldViolations = append(bad.FieldViolations, &errdetails.BadRequest_FieldViolation{
				Field: f.Path, Description: f.Description,
			})
		}
		addDetail(out, bad)
	}
	if p.RetryAfter > 0 {
		addDetail(out, &errdetails.RetryInfo{RetryDelay: durationpb.New(p.RetryAfter)})
	}
	return out
}

// addDetail panics only if a google.rpc message cannot be marshalled, which would be a bug of the runtime.
func addDetail(e *connect.Error, m proto.Message) {
	d, err := connect.NewErrorDetail(m)
	if err != nil {
		panic("problem: error detail does not marshal: " + err.Error())
	}
	e.AddDetail(d)
}

// details is what a received error says beyond its code.
type details struct {
	reason     string
	fields     []Field
	retryAfter time.Duration
}

// readDetails reads the details it knows and leaves all others alone.
func readDetails(err *connect.Error) details {
	var out details
	for _, d := range err.Details() {
		value, valueErr := d.Value()
		if valueErr != nil {
			continue // a detail of a type we do not know
		}
		switch m := value.(type) {
		case *errdetails.ErrorInfo:
			out.reason = m.GetReason()
		case *errdetails.BadRequest:
			for _, v := range m.GetFieldViolations() {
				out.fields = append(out.fields, Field{Path: v.GetField(), Description: v.GetDescription()})
			}
		case *errdetails.RetryInfo:
			out.retryAfter = m.GetRetryDelay().AsDuration()
		}
	}
	return out
}
