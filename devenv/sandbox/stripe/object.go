package stripe

import (
	"bytes"
	"encoding/json"
	"fmt"
)

// object is one API resource. Objects are immutable once put into the store: a change puts a changed copy, so that
// readers and events keep the snapshot they took and encode it without a lock.
type object interface {
	objectID() string
	kind() string // the value of its "object" field
	clone() object
	createdAt() int64 // Unix seconds; 0 where the resource has none
	// expandable finds a reference by its field name; nil if that field cannot be expanded.
	expandable(name string) *ref
}

// ref is the id of another object: null when empty, the object itself once expanded.
type ref struct {
	id       string
	expanded any
}

func refTo(id string) ref { return ref{id: id} }

// MarshalJSON implements json.Marshaler.
func (r ref) MarshalJSON() ([]byte, error) {
	switch {
	case r.expanded != nil:
		return json.Marshal(r.expanded)
	case r.id == "":
		return []byte("null"), nil
	}
	return json.Marshal(r.id)
}

// UnmarshalJSON implements json.Unmarshaler. An expanded object shrinks to its id.
func (r *ref) UnmarshalJSON(data []byte) error {
	*r = ref{}
	data = bytes.TrimSpace(data)
	switch {
	case bytes.Equal(data, []byte("null")):
		return nil
	case len(data) > 0 && data[0] == '{':
		var named struct {
			ID string `json:"id"`
		}
		if err := json.Unmarshal(data, &named); err != nil {
			return err
		}
		r.id = named.ID
		return nil
	}
	return json.Unmarshal(data, &r.id)
}

// encode prints a value as Stripe does: indented by two spaces, HTML characters as they are, no final newline.
func encode(v any) ([]byte, error) {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, fmt.Errorf("encode answer: %w", err)
	}
	return indent(bytes.TrimSuffix(buf.Bytes(), []byte("\n"))), nil
}

// indent lays out compact JSON as json.Indent does with two spaces. It trusts its input, which encoding/json made, and so
// takes a tenth of the time: printing was half of what a sale cost here.
func indent(compact []byte) []byte {
	out := make([]byte, 0, 2*len(compact))
	depth := 0
	newline := func() {
		out = append(out, '\n')
		for range depth {
			out = append(out, ' ', ' ')
		}
	}
	for i := 0; i < len(compact); i++ {
		c := compact[i]
		switch c {
		case '"':
			end := i + 1
			for ; compact[end] != '"'; end++ {
				if compact[end] == '\\' {
					end++
				}
			}
			out = append(out, compact[i:end+1]...)
			i = end
		case '{', '[':
			out = append(out, c)
			if next := compact[i+1]; next == '}' || next == ']' {
				out = append(out, next)
				i++
				continue
			}
			depth++
			newline()
		case '}', ']':
			depth--
			newline()
			out = append(out, c)
		case ',':
			out = append(out, c)
			newline()
		case ':':
			out = append(out, c, ' ')
		default:
			out = append(out, c)
		}
	}
	return out
}

// rawObject is a resource the sandbox only keeps and shows, such as a review or a checkout session.
type rawObject struct {
	id   string
	name string
	body json.RawMessage
}

func (o *rawObject) objectID() string             { return o.id }
func (o *rawObject) kind() string                 { return o.name }
func (o *rawObject) clone() object                { c := *o; return &c }
func (*rawObject) createdAt() int64               { return 0 }
func (*rawObject) expandable(string) *ref         { return nil }
func (o *rawObject) MarshalJSON() ([]byte, error) { return o.body, nil }

// decodeObject reads one resource of any kind, deciding by its "object" field.
func decodeObject(data []byte) (object, error) {
	var head struct {
		ID     string `json:"id"`
		Object string `json:"object"`
	}
	if err := json.Unmarshal(data, &head); err != nil {
		return nil, fmt.Errorf("decode object: %w", err)
	}
	if head.ID == "" || head.Object == "" {
		return nil, fmt.Errorf("an object needs id and object, got %q and %q", head.ID, head.Object)
	}
	obj := newObject(head.Object)
	if obj == nil {
		return &rawObject{id: head.ID, name: head.Object, body: bytes.Clone(data)}, nil
	}
	if err := json.Unmarshal(data, obj); err != nil {
		return nil, fmt.Errorf("decode %s %s: %w", head.Object, head.ID, err)
	}
	return obj, nil
}

// newObject makes an empty resource of a kind; nil for kinds that are only kept and shown.
func newObject(kind string) object {
	switch kind {
	case kindPaymentIntent:
		return &PaymentIntent{}
	case kindPaymentMethod:
		return &PaymentMethod{}
	case kindCharge:
		return &Charge{}
	case kindRefund:
		return &Refund{}
	case kindBalanceTransaction:
		return &BalanceTransaction{}
	case kindDispute:
		return &Dispute{}
	case kindAccount:
		return &Account{}
	case kindPayout:
		return &Payout{}
	case kindTransfer:
		return &Transfer{}
	case kindTransferReversal:
		return &TransferReversal{}
	case kindApplicationFee:
		return &ApplicationFee{}
	case kindFeeRefund:
		return &FeeRefund{}
	case kindEvent:
		return &Event{}
	}
	return nil
}

// emptyObject is {}.
var emptyObject = json.RawMessage(`{}`)
