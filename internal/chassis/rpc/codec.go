package rpc

import (
	"errors"
	"fmt"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

// strictJSON is connect's JSON codec, but a field that the schema does not know is refused: a misspelt field that is
// silently dropped is worse than an error. Binary messages keep unknown fields, so old and new releases mix.
type strictJSON struct{ name string }

// jsonCodecs are the codecs of the two names that connect uses for JSON.
func jsonCodecs() connect.HandlerOption {
	return connect.WithHandlerOptions(
		connect.WithCodec(strictJSON{name: "json"}),
		connect.WithCodec(strictJSON{name: "json; charset=utf-8"}),
	)
}

// Name implements connect.Codec.
func (c strictJSON) Name() string { return c.name }

// Marshal implements connect.Codec.
func (c strictJSON) Marshal(message any) ([]byte, error) {
	m, ok := message.(proto.Message)
	if !ok {
		return nil, fmt.Errorf("%T is no proto.Message", message)
	}
	return protojson.MarshalOptions{}.Marshal(m)
}

// Unmarshal implements connect.Codec.
func (c strictJSON) Unmarshal(data []byte, message any) error {
	m, ok := message.(proto.Message)
	if !ok {
		return fmt.Errorf("%T is no proto.Message", message)
	}
	if len(data) == 0 {
		return errors.New("the body is empty, send at least {}")
	}
	return protojson.UnmarshalOptions{}.Unmarshal(data, m)
}
