package ledger

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"slices"
	"sync"
)

// Actions of a bulk.
const (
	actionCreate         = "CREATE_TRANSACTION"
	actionRevert         = "REVERT_TRANSACTION"
	actionAddMetadata    = "ADD_METADATA"
	actionDeleteMetadata = "DELETE_METADATA"
)

const streamContentType = "application/vnd.formance.ledger.api.v2.bulk+json-stream"

// BulkElement is one write of a bulk. Its name shows in error messages.
type BulkElement struct {
	Action string
	Key    string
	Data   any // TransactionRequest, revertElement or metadataElement
}

type revertElement struct {
	ID              int64    `json:"id"`
	Force           bool     `json:"force"`
	AtEffectiveDate bool     `json:"atEffectiveDate"`
	Metadata        Metadata `json:"metadata"`
}

type metadataElement struct {
	TargetType string          `json:"targetType"`
	TargetID   json.RawMessage `json:"targetId"`
	Metadata   Metadata        `json:"metadata"`
	Key        string          `json:"key"`
}

// UnmarshalJSON reads the data as the action asks for.
func (e *BulkElement) UnmarshalJSON(text []byte) error {
	var raw struct {
		Action string          `json:"action"`
		Key    string          `json:"ik"`
		Data   json.RawMessage `json:"data"`
	}
	if err := json.Unmarshal(text, &raw); err != nil {
		return err
	}
	e.Action, e.Key = raw.Action, raw.Key
	var err error
	switch raw.Action {
	case actionCreate:
		var data TransactionRequest
		err = json.Unmarshal(raw.Data, &data)
		e.Data = data
	case actionRevert:
		var data revertElement
		err = json.Unmarshal(raw.Data, &data)
		e.Data = data
	case actionAddMetadata, actionDeleteMetadata:
		var data metadataElement
		err = json.Unmarshal(raw.Data, &data)
		e.Data = data
	default:
		err = errors.New("json: Unmarshal(nil)")
	}
	if err != nil {
		return fmt.Errorf("error parsing element: %w", err)
	}
	return nil
}

// elementResult is the answer to one element.
type elementResult struct {
	ErrorCode        string       `json:"errorCode,omitempty"`
	ErrorDescription string       `json:"errorDescription,omitempty"`
	Data             *transaction `json:"data,omitempty"`
	ResponseType     string       `json:"responseType"`
	LogID            int64        `json:"logID"`
}

// failedElement words an error of an element: only some codes exist in a bulk.
// VALIDATION is a key that was used for something else; an element that is malformed
// is INTERNAL, see prepare.
// Source: mapBulkElementError in the ledger's internal/api/bulking.
func failedElement(err error) elementResult {
	code := codeInternal
	var answer *apiError
	if errors.As(err, &answer) && slices.Contains([]string{
		codeInsufficientFund, codeCompilationFailed, codeMetadataOverride, codeNoPostings, codeConflict,
		codeAlreadyRevert, codeNotFound, codeValidation,
	}, answer.code) {
		code = answer.code
	}
	return elementResult{ErrorCode: code, ErrorDescription: err.Error(), ResponseType: "ERROR"}
}

// prepare turns an element into a write.
func (s *Server) prepare(e BulkElement) (order, func(context.Context, *work, order) (outcome, error), error) {
	switch data := e.Data.(type) {
	case TransactionRequest:
		in, err := s.checked(data)
		if err != nil {
			return order{}, nil, fmt.Errorf("error parsing element: %s", err) //nolint:errorlint // its code does not count in a bulk
		}
		return order{key: e.Key, hash: in.fingerprint()}, func(ctx context.Context, w *work, o order) (outcome, error) { return w.create(ctx, in, o) }, nil
	case revertElement:
		in := reversal{id: data.ID, force: data.Force, atEffectiveDate: data.AtEffectiveDate, metadata: data.Metadata}
		return order{key: e.Key, hash: in.fingerprint()}, func(ctx context.Context, w *work, o order) (outcome, error) { return w.revert(ctx, in, o) }, nil
	case metadataElement:
		target, err := targetOf(data.TargetType, data.TargetID)
		if err != nil {
			return order{}, nil, err
		}
		if e.Action == actionAddMetadata {
			in := savedData{TargetType: data.TargetType, TargetID: target, Metadata: data.Metadata}
			return order{key: e.Key, hash: in.fingerprint()}, func(ctx context.Context, w *work, o order) (outcome, error) { return w.save(ctx, in, o) }, nil
		}
		in := deletedData{TargetType: data.TargetType, TargetID: target, Key: data.Key}
		return order{key: e.Key, hash: in.fingerprint()}, func(ctx context.Context, w *work, o order) (outcome, error) { return w.remove(ctx, in, o) }, nil
	}
	panic(fmt.Sprintf("bulk element with data of type %T", e.Data))
}

// errCanceled is the answer to elements behind a failed one.
var errCanceled = errors.New("context canceled")

func bulk(s *Server, c *call) error {
	elements, streamErr, err := c.bulkElements()
	if err != nil {
		return err
	}
	atomic, parallel, goOn := c.flag("atomic"), c.flag("parallel"), c.flag("continueOnFailure")
	var results []elementResult
	switch {
	case atomic && parallel:
		return &apiError{http.StatusPreconditionFailed, codeValidation, "validating bulk options: atomic and parallel options are mutually exclusive"}
	case atomic:
		results, err = s.bulkAtomic(c.ctx(), c.book, elements, goOn)
	case parallel:
		results = s.bulkEach(c.ctx(), c.book, elements, goOn, bulkParallel)
	default:
		results = s.bulkEach(c.ctx(), c.book, elements, goOn, 1)
	}
	if err != nil {
		return err
	}
	status := http.StatusOK
	body := map[string]any{"data": results}
	if slices.ContainsFunc(results, func(r elementResult) bool { return r.ErrorCode != "" }) {
		status = http.StatusBadRequest
		if streamErr != nil {
			body["errorCode"], body["errorMessage"] = codeValidation, streamErr.Error()
		}
	}
	return c.render(status, body)
}

// bulkElements reads the elements. A stream of elements ends with an error,
// io.EOF at best, which the ledger shows.
func (c *call) bulkElements() (elements []BulkElement, streamErr, err error) {
	data, err := c.body()
	if err != nil {
		return nil, nil, err
	}
	contentType := c.r.Header.Get("Content-Type")
	mediaType, _, err := mime.ParseMediaType(contentType)
	if err != nil && contentType != "" {
		return nil, nil, invalid("unsupported content type: %s", contentType)
	}
	switch mediaType {
	case "application/json", "":
		elements = []BulkElement{}
		if err := decodeFirst(data, &elements); err != nil {
			return nil, nil, err
		}
		if len(elements) > bulkSizeMax {
			return nil, nil, &apiError{http.StatusRequestEntityTooLarge, codeBulkSizeExceeded, fmt.Sprintf("bulk size exceeded, max size is %d", bulkSizeMax)}
		}
		return elements, nil, nil
	case streamContentType:
		decoder := json.NewDecoder(bytes.NewReader(data))
		for {
			var e BulkElement
			if err := decoder.Decode(&e); err != nil {
				return elements, err, nil
			}
			elements = append(elements, e)
		}
	default:
		return nil, nil, invalid("unsupported content type: %s", contentType)
	}
}

// bulkEach does every element in an SQL transaction of its own, at most workers
// at once. Results come in the order of completion. After a failure the
// remaining elements are not tried, unless goOn.
func (s *Server) bulkEach(ctx context.Context, b book, elements []BulkElement, goOn bool, workers int) []elementResult {
	var (
		mu      sync.Mutex
		failed  bool
		results = make([]elementResult, 0, len(elements))
		group   sync.WaitGroup
		places  = make(chan struct{}, workers)
	)
	for _, e := range elements {
		places <- struct{}{}
		group.Go(func() {
			defer func() { <-places }()
			mu.Lock()
			stop := failed && !goOn
			mu.Unlock()
			result, err := elementResult{}, errCanceled
			if !stop {
				result, err = s.bulkOne(ctx, b, e)
			}
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				failed = true
				result = failedElement(err)
			}
			results = append(results, result)
		})
	}
	group.Wait()
	return results
}

func (s *Server) bulkOne(ctx context.Context, b book, e BulkElement) (elementResult, error) {
	o, write, err := s.prepare(e)
	if err != nil {
		return elementResult{}, err
	}
	out, err := s.write(ctx, b, o, write)
	return e.succeeded(out), err
}

func (e BulkElement) succeeded(out outcome) elementResult {
	return elementResult{Data: out.transaction, ResponseType: e.Action, LogID: out.logID}
}
