package ledger

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
)

// fingerprint hashes the input of a write, so that another input under the same
// idempotency key is noticed. The operation is part of it: all operations of a
// ledger share one namespace of keys. JSON sorts the keys of maps.
func fingerprint(operation string, input any) string {
	data, err := json.Marshal([]any{operation, input})
	if err != nil {
		panic(fmt.Sprintf("input cannot be encoded: %v", err))
	}
	sum := sha256.Sum256(data)
	return base64.URLEncoding.EncodeToString(sum[:])
}

// An absent, null or empty map or reference is the same input.
func (in newTransaction) fingerprint() string {
	accounts := in.accountMetadata
	if accounts == nil {
		accounts = map[string]Metadata{}
	}
	variables := in.variables
	if variables == nil {
		variables = map[string]string{}
	}
	return fingerprint("create", []any{
		in.postings, in.script, variables, in.force, in.timestamp, in.reference, in.metadata.orEmpty(), accounts,
	})
}

func (in reversal) fingerprint() string {
	return fingerprint("revert", []any{in.id, in.force, in.atEffectiveDate, in.metadata.orEmpty()})
}

func (in savedData) fingerprint() string {
	return fingerprint("save metadata", []any{in.TargetType, in.TargetID, in.Metadata.orEmpty()})
}

func (in deletedData) fingerprint() string {
	return fingerprint("delete metadata", []any{in.TargetType, in.TargetID, in.Key})
}
