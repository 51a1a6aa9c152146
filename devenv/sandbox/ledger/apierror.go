package ledger

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/dayof/dayof/devenv/sandbox/ledger/numscript"
)

// Error codes of the API.
const (
	codeValidation        = "VALIDATION"
	codeNotFound          = "NOT_FOUND"
	codeLedgerNotFound    = "LEDGER_NOT_FOUND"
	codeLedgerExists      = "LEDGER_ALREADY_EXISTS"
	codeNoPostings        = "NO_POSTINGS"
	codeInsufficientFund  = "INSUFFICIENT_FUND"
	codeConflict          = "CONFLICT"
	codeAlreadyRevert     = "ALREADY_REVERT"
	codeCompilationFailed = "COMPILATION_FAILED"
	codeMetadataOverride  = "METADATA_OVERRIDE"
	codeBulkSizeExceeded  = "BULK_SIZE_EXCEEDED"
	codeSchemaNotSpecific = "SCHEMA_NOT_SPECIFIED"
	codeInternal          = "INTERNAL"
)

// forging is how the ledger introduces most errors of a write.
const forging = "unexpected error while forging log: "

// internalMessage is all that a client learns of an internal error.
const internalMessage = "Internal error. Consult logs/traces to have more details."

// apiError is an error that the client may see.
type apiError struct {
	status  int
	code    string
	message string
}

func (e *apiError) Error() string { return e.message }

func invalid(format string, args ...any) error {
	return &apiError{http.StatusBadRequest, codeValidation, fmt.Sprintf(format, args...)}
}

func notFound(message string) error {
	return &apiError{http.StatusNotFound, codeNotFound, message}
}

func conflict(reference string) error {
	return &apiError{http.StatusConflict, codeConflict, fmt.Sprintf("%sfailed to insert transaction: duplicate reference %q", forging, reference)}
}

// scriptError translates what the interpreter says. Errors that it does not
// name are internal, as in the ledger.
func scriptError(err error) error {
	var (
		compileErr  *numscript.CompileError
		variableErr *numscript.VariableError
		fundsErr    *numscript.InsufficientFundsError
	)
	switch {
	case errors.As(err, &compileErr):
		return &apiError{http.StatusBadRequest, codeCompilationFailed, forging + "failed to compile script: compilation error: " + compileErr.Error()}
	case errors.As(err, &variableErr):
		return &apiError{http.StatusBadRequest, codeCompilationFailed, forging + "failed to execute program: failed to set vars from JSON: " + variableErr.Error()}
	case errors.As(err, &fundsErr):
		return insufficientFunds(fundsErr)
	default:
		return fmt.Errorf("%sfailed to execute program: %w", forging, err)
	}
}

func insufficientFunds(err *numscript.InsufficientFundsError) error {
	return &apiError{http.StatusBadRequest, codeInsufficientFund, forging + "failed to execute program: failed to execute machine: " + err.Error()}
}

// decodeError words a JSON error as the ledger does: its type names differ
// from ours.
func decodeError(err error) error {
	message := strings.NewReplacer(
		"ledger.Metadata", "metadata.Metadata",
		"ledger.TransactionRequest", "bulking.TransactionRequest",
		"[]ledger.BulkElement", "[]bulking.BulkElement",
	).Replace(err.Error())
	return invalid("%s", message)
}

// constraint names the constraint that an SQL error violated, or is empty.
func constraint(err error) string {
	if pgErr, ok := errors.AsType[*pgconn.PgError](err); ok {
		return pgErr.ConstraintName
	}
	return ""
}

// retryable says whether Postgres undid the transaction for the sake of another
// one, so that running it again is right.
func retryable(err error) bool {
	pgErr, ok := errors.AsType[*pgconn.PgError](err)
	return ok && (pgErr.Code == "40P01" || pgErr.Code == "40001")
}

// describe returns what the client learns of err; unexpected ones are not described.
func describe(err error) *apiError {
	if apiErr, ok := errors.AsType[*apiError](err); ok {
		return apiErr
	}
	return &apiError{http.StatusInternalServerError, codeInternal, internalMessage}
}

type errorBody struct {
	ErrorCode    string `json:"errorCode"`
	ErrorMessage string `json:"errorMessage"`
}

func writeError(w http.ResponseWriter, err *apiError) {
	writeJSON(w, err.status, errorBody{err.code, err.message})
}

// writeJSON answers with a JSON value. A client that went away is not our
// concern.
func writeJSON(w http.ResponseWriter, status int, body any) {
	data, err := json.Marshal(body)
	if err != nil {
		panic(fmt.Sprintf("answer cannot be encoded: %v", err))
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(append(data, '\n'))
}
