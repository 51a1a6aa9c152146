// Package ledger stands in for a Formance Ledger v2.4.12: the same HTTP API, bare
// under /v2/... or behind a gateway under /api/ledger/v2/..., on a Postgres database
// of its own.
//
// It is there so that ledgersvc learns to live with the real one; so it answers
// as the real one does, oddities included: ids with gaps, 409 for parallel
// calls with one key and one reference, successes in the answer of a bulk that
// was rolled back. The transcripts in testdata/contract were recorded from a
// real server and are replayed by the tests.
//
// How a post works: it locks the volumes rows of all accounts it touches, in
// bytewise order, by adding its amounts to them; checks the funds; then writes
// transaction, moves and log, and commits. That is two round trips for plain
// postings. Nothing else is shared between posts of one ledger, so that posts
// to different accounts do not wait for each other. The hash chain of the log,
// which would serialise all of them, is computed when the log is read.
//
// Left out, because nothing here uses it: schemas and templates, exporters and
// pipelines, buckets as separate schemas, import and export of logs, and API
// version 1 but for the ledgers that it makes by the way, see face.go.
package ledger
