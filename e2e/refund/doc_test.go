// Package refund holds tests of the whole system that give money back: in parts, at once, before an order completes, and beside disputes.
package refund
