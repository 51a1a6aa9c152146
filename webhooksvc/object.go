package webhooksvc

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	moneyv1 "github.com/dayof/dayof/gen/dayof/money/v1"
	"github.com/dayof/dayof/internal/chassis/instant"
	amounts "github.com/dayof/dayof/internal/money" // money is a type of this package
)

// The types below read the fields of Stripe's objects. stripe-go's own structs are not used: one field that a newer
// API version shows in another shape makes them refuse the whole object, and their untyped access goes through
// float64, which rounds amounts above 2^53. Fields that we can live without turn empty when their shape is unknown.

// text is a string; null and other shapes are empty.
type text string

// UnmarshalJSON never fails.
func (t *text) UnmarshalJSON(data []byte) error {
	*t = ""
	var s string
	if json.Unmarshal(data, &s) == nil {
		*t = text(s)
	}
	return nil
}

// reference is the id of another object. Stripe shows it as null, as the id or, when expanded, as the object itself.
type reference string

// UnmarshalJSON never fails: a shape that names no id is empty.
func (r *reference) UnmarshalJSON(data []byte) error {
	*r = ""
	if len(data) > 0 && data[0] == '{' {
		var expanded struct {
			ID text `json:"id"`
		}
		if json.Unmarshal(data, &expanded) == nil {
			*r = reference(expanded.ID)
		}
		return nil
	}
	var id text
	_ = id.UnmarshalJSON(data)
	*r = reference(id)
	return nil
}

// metadata is what we, or somebody else, attached to an object.
type metadata map[string]text

// UnmarshalJSON never fails: anything but an object is empty.
func (m *metadata) UnmarshalJSON(data []byte) error {
	*m = nil
	var values map[string]text
	if json.Unmarshal(data, &values) == nil {
		*m = values
	}
	return nil
}

// orderID is the id of the order that checkoutsvc writes on its intents; Stripe copies it to their charges.
func (m metadata) orderID() string { return string(m["order_id"]) }

// list is a list of sub-objects: a plain array, or Stripe's list object.
type list[T any] struct {
	items []T
	more  bool // whether Stripe has more than it sent
}

// UnmarshalJSON skips items of a shape that does not fit, such as bare ids.
func (l *list[T]) UnmarshalJSON(data []byte) error {
	*l = list[T]{}
	if data = bytes.TrimSpace(data); len(data) > 0 && data[0] == '{' {
		var page struct {
			Data    json.RawMessage `json:"data"`
			HasMore bool            `json:"has_more"`
		}
		if err := json.Unmarshal(data, &page); err != nil {
			return err
		}
		data, l.more = page.Data, page.HasMore
	}
	var raw []json.RawMessage
	if len(data) == 0 {
		return nil
	}
	if err := json.Unmarshal(data, &raw); err != nil {
		return err
	}
	for _, one := range raw {
		var item T
		if len(one) > 0 && one[0] == '{' {
			if err := json.Unmarshal(one, &item); err != nil {
				return err
			}
			l.items = append(l.items, item)
		}
	}
	return nil
}

// seconds is an instant as Stripe writes it, in Unix seconds; zero means absent.
type seconds int64

// UnmarshalJSON implements json.Unmarshaler. An instant that could not be shown makes the object a malformed one.
func (s *seconds) UnmarshalJSON(data []byte) error {
	var n int64
	if err := json.Unmarshal(data, &n); err != nil {
		return err
	}
	if n != 0 && !instant.Valid(time.Unix(n, 0)) {
		return fmt.Errorf("%d seconds: an instant %s", n, instant.Rule)
	}
	*s = seconds(n)
	return nil
}

func (s seconds) timestamp() *timestamppb.Timestamp {
	if s == 0 {
		return nil
	}
	return timestamppb.New(time.Unix(int64(s), 0))
}

// money turns Stripe's amount, in minor units of a lower-case currency, into ours. Stripe's zero-decimal and
// three-decimal currencies are minor units of ISO 4217 as well.
func money(minorUnits int64, currency text) *moneyv1.Money {
	return &moneyv1.Money{Currency: strings.ToUpper(string(currency)), MinorUnits: minorUnits}
}

// amountOf is what a webhook event's object is about: what people need to know first, and nothing of a person. For objects
// without an amount, such as accounts, ok is false.
func amountOf(body []byte) (amount amounts.Money, ok bool) {
	var event struct {
		Data struct {
			Object struct {
				Amount   *int64 `json:"amount"`
				Currency text   `json:"currency"`
			} `json:"object"`
		} `json:"data"`
	}
	if json.Unmarshal(body, &event) != nil || event.Data.Object.Amount == nil {
		return amounts.Money{}, false
	}
	amount, err := amounts.New(strings.ToUpper(string(event.Data.Object.Currency)), *event.Data.Object.Amount)
	return amount, err == nil
}
