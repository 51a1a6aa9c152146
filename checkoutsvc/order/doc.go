// Package order holds the rules of an order: typed states, facts in, changes out.
//
// It is pure. It reads no clock, table, setting or message, and imports no driver: whoever uses it locks and loads an
// order, calls [Observe] once, and saves what it returned (see checkoutsvc/orderstore).
//
// An order has two states. Its payment is derived from facts that merge in any order (payment.go); its fulfilment is a
// short series of idempotent steps that runs in attempts (fulfilment.go). Holds, tickets, payment intents, refunds and
// disputes have states of their own, each with its table of transitions in the file of that name. docs/states.md is
// generated from these tables, and the database's constraints are tested against them.
//
// Invariants: a ticket becomes valid only after the ledger has its sale; void is final; what is refunded is never more
// than what was captured; captured money ends as a completed order, as a refund, or as an open review case.
package order
