// Package numscript runs the scripts in which a Formance ledger describes
// transactions: variables, sends with ordered, capped and shared sources and
// destinations, overdrafts, and metadata. Left out, because no template and no
// transcript uses them: save, print, fail, and variables that the ledger takes
// from metadata or balances.
//
// It is an interpreter of our own for the sandbox ledger. A text becomes a
// Program (Parse), a program with its variables a Run (Bind), and a run with
// the balances it needs a list of postings (Execute). Nothing in here knows
// HTTP or SQL.
//
// The rules are those of the machine in Formance Ledger v2.4: what is
// refused there is refused here, line ends included, because a template that
// only the sandbox understands would fail in production.
//
// github.com/formancehq/numscript v0.2.0 was measured in its place, against the
// 374 steps of the recorded transcripts, texts of errors included. It answers
// 371 alike. It differs in transcript 07, steps 6 and 8 (its error does not name
// the accounts that lack funds) and 12 (another text for a malformed variable),
// and where the machine is stricter and no transcript is: it posts nothing for
// an amount of zero, where the machine posts zero, and it has no compile step,
// so that an undeclared variable, portions above one or a script on one line are
// accepted or fail only when they run. Brackets without end, 100,000 of them,
// keep its parser busy for more than 15 seconds.
package numscript
