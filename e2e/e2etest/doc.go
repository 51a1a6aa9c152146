// Package e2etest is what the tests of the whole system share: a cluster of their own, a sale from cart to ticket, and what Stripe
// has and sends. It is for tests only.
package e2etest
