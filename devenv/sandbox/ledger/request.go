package ledger

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"net/http"
	"time"
)

// TransactionRequest is the body that asks for a transaction. Its name and
// those of its fields show in error messages.
type TransactionRequest struct {
	Postings        []Posting           `json:"postings"`
	Script          scriptRequest       `json:"script"`
	Timestamp       requestTime         `json:"timestamp"`
	Reference       string              `json:"reference"`
	Metadata        Metadata            `json:"metadata"`
	AccountMetadata map[string]Metadata `json:"accountMetadata"`
	Runtime         string              `json:"runtime"`
	Force           bool                `json:"force"`
}

type scriptRequest struct {
	Plain    string         `json:"plain"`
	Template string         `json:"template"`
	Vars     map[string]any `json:"vars"`
}

// requestTime is an RFC 3339 time; null is none.
type requestTime struct{ time.Time }

// UnmarshalJSON words its errors as time.Parse does, which the ledger shows.
func (t *requestTime) UnmarshalJSON(data []byte) error {
	if string(data) == "null" {
		return nil
	}
	parsed, err := parseTime(string(bytes.Trim(data, `"`)))
	t.Time = parsed
	return err
}

// parseTime reads a time from outside, to the ledger's precision.
func parseTime(text string) (time.Time, error) {
	parsed, err := time.Parse(time.RFC3339Nano, text)
	return roundTime(parsed), err
}

// decodeFirst decodes the first JSON value of data; what follows is ignored, as
// are unknown fields.
func decodeFirst(data []byte, into any) error {
	if err := json.NewDecoder(bytes.NewReader(data)).Decode(into); err != nil {
		return decodeError(err)
	}
	return nil
}

// variables brings script variables to their text form: a monetary may also be
// an object, a number a number.
func (r scriptRequest) variables() map[string]string {
	texts := make(map[string]string, len(r.Vars))
	for name, v := range r.Vars {
		switch v := v.(type) {
		case string:
			texts[name] = v
		case map[string]any:
			switch amount := v["amount"].(type) {
			case string:
				texts[name] = fmt.Sprintf("%v %s", v["asset"], amount)
			case float64:
				whole, _ := big.NewFloat(amount).Int(nil)
				texts[name] = fmt.Sprintf("%v %s", v["asset"], whole)
			}
		default:
			texts[name] = fmt.Sprint(v)
		}
	}
	return texts
}

// checked validates the request as far as it can be without the books.
func (s *Server) checked(r TransactionRequest) (newTransaction, error) {
	if err := validatePostings(r.Postings); err != nil {
		return newTransaction{}, err
	}
	in := newTransaction{
		postings: r.Postings, timestamp: r.Timestamp.Time, reference: r.Reference,
		metadata: r.Metadata, accountMetadata: r.AccountMetadata,
	}
	if len(r.Postings) > 0 {
		in.force = r.Force
	} else {
		// force is for postings: scripts say themselves who may overdraw.
		in.script, in.variables = r.Script.Plain, r.Script.variables()
		in.program, in.compileErr = s.programs.parse(in.script)
	}
	return in, nil
}

// kind makes sure that the request says in exactly one way what to post.
func (r TransactionRequest) kind() error {
	var given []string
	if len(r.Postings) > 0 {
		given = append(given, "postings")
	}
	if r.Script.Plain != "" {
		given = append(given, "numscript")
	}
	if r.Script.Template != "" {
		given = append(given, "template")
	}
	switch {
	case len(given) > 1:
		return invalid("cannot pass %s and %s in the same request", given[0], given[1])
	case len(given) == 0:
		return &apiError{http.StatusBadRequest, codeNoPostings, "you must pass either a posting array, a numscript script, or a template"}
	case given[0] == "template":
		return &apiError{http.StatusBadRequest, codeSchemaNotSpecific, "schema version must be specified to use a template"}
	}
	return nil
}

func createTransaction(s *Server, c *call) error {
	data, err := c.body()
	if err != nil {
		return err
	}
	var request TransactionRequest
	if err := decodeFirst(data, &request); err != nil {
		return err
	}
	if err := request.kind(); err != nil {
		return err
	}
	request.Force = request.Force || c.flag("force")
	in, err := s.checked(request)
	if err != nil {
		return err
	}
	out, err := s.write(c.ctx(), c.book, c.order(in.fingerprint()), func(ctx context.Context, w *work, o order) (outcome, error) {
		return w.create(ctx, in, o)
	})
	if err != nil {
		return err
	}
	c.markHit(out)
	return c.ok(http.StatusOK, out.transaction)
}

// bigintsAsStrings renders a body with all amounts as strings.
func bigintsAsStrings(body any) (any, error) {
	data, err := json.Marshal(body)
	if err != nil {
		return nil, fmt.Errorf("encode answer: %w", err)
	}
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.UseNumber()
	var tree any
	if err := decoder.Decode(&tree); err != nil {
		return nil, errors.Join(errors.New("decode answer"), err)
	}
	return quoteAmounts(tree), nil
}

// quoteAmounts quotes the numbers that are amounts: those named so in postings
// and volumes.
func quoteAmounts(tree any) any {
	switch tree := tree.(type) {
	case map[string]any:
		for key, v := range tree {
			if number, ok := v.(json.Number); ok {
				switch key {
				case "amount", "input", "output", "balance":
					tree[key] = number.String()
				}
				continue
			}
			tree[key] = quoteAmounts(v)
		}
	case []any:
		for i := range tree {
			tree[i] = quoteAmounts(tree[i])
		}
	}
	return tree
}
