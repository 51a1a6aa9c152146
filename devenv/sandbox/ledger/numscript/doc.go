// Package numscript runs the scripts in which a Formance ledger describes
// transactions: variables, sends with ordered, capped and shared sources and
// destinations, overdrafts, and metadata.
//
// It is an interpreter of our own for the sandbox ledger. A text becomes a
// Program (Parse), a program with its variables a Run (Bind), and a run with
// the balances it needs a list of postings (Execute). Nothing in here knows
// HTTP or SQL.
//
// The rules are those of the machine in Formance Ledger v2.4: what is
// refused there is refused here, line ends included, because a template that
// only the sandbox understands would fail in production.
package numscript
