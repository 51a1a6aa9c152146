// Package deadletter keeps the jobs that ended without success until a person
// retries or dismisses them. Each open letter has an alert.
//
// Package alert says what a dead letter is for and what an alert and a review
// case are for instead. Package jobs moves jobs here and puts them back.
package deadletter
