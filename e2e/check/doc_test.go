// Package check holds tests of the invariants: that each is noticed when it is broken, and what is said when a part cannot be read.
package check
