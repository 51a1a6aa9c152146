// Package account holds tests of connected accounts: what Stripe decides about them, and what those of others cannot do.
package account
