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
// ledger takes them go together (burst.go).
//
// # Reconciliation
//
// Orders, the ledger, our copies and Stripe each say what happened to the same money. A run over a span of time
// (reconcile_run.go) reads them in pages into unlogged tables and lets Postgres find what does not fit:
//
//	orders <-> ledger       by reference and asset: what came to orders from Stripe, and what went back
//	ledger <-> Stripe       by reference, account and asset: what changed on the balances that we hold there
//	our copies <-> ledger   by reference: everything
//
// That only suspects. Of each suspect all sides are asked again by its name (reconcile_examine.go), which is why an edge of
// the span or a late fact is no false alarm; what is younger than a while is asked a third time, and what is known to be
// under way is watched and not told. reconcile_judge.go then says which side is probably wrong. Of direct charges Stripe's
// side is not compared, but for the payouts of their accounts: their money is the organisers' own.
//
// Invariant: what a reference holds never changes, and the balances of each asset sum to zero.
package ledgersvc
