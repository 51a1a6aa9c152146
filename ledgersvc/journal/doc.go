// Package journal has the entries of the books: what the ledger holds under a reference, as both posting and
// reconciling read it, from the ledger and from our copies of it.
//
// Invariant: a reference and the word for a kind never change, since the ledger keeps them for good.
package journal
