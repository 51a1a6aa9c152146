// Package ledgersvc books what happens to money as balanced entries in a Formance ledger, each business fact once.
//
// Every fact has a reference, such as capture:<payment intent>, and the ledger keeps references unique: that is the
// durable guard against booking twice, not a row of ours. An entry is a pure function of its request and of entries
// that are posted already, so a repeat is the same bytes and needs no claim before the call; payouts, whose
// observations come in any order, are the exception and merge in a row first (payout.go). After the ledger has taken
// an entry, one statement keeps our copy of it:
//
//	read the copies by reference and key ──> post at the ledger ──> keep a copy
//	      1 round trip, no commit               1 call                1 round trip, 1 commit
//
// An outcome that is unknown (a lost reply, a timeout, 5xx) is read back by reference: found proves, not found proves
// nothing, so the same call is repeated with the same key until the deadline (post.go). Sales that come faster than the
// ledger takes them go together (batch.go).
//
// The entries as they are read back are package journal; comparing the books with orders and Stripe is package reconcile.
//
// Invariant: what a reference holds never changes, and the balances of each asset sum to zero.
package ledgersvc
