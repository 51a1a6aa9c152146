// Package faults holds tests of the whole system while an outside party, or its webhooks, fail.
package faults
