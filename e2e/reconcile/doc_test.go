// Package reconcile holds tests of the books: orders, ledger and Stripe compared over the whole system.
package reconcile
