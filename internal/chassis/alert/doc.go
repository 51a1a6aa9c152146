// Package alert notifies people of incidents, once each.
//
// Three things wait for people, and each has one purpose:
//
//   - An alert says that something is wrong now. It is raised in the transaction
//     of the fact it follows from, sent once, and resolved by the program when the
//     cause is gone. Nobody has to answer it, and nothing waits for an answer.
//   - A dead letter is work that ended without success: a job whose attempts are
//     exhausted or that cannot succeed. A person retries or dismisses it when the
//     cause is gone. Each open one has an alert. See package deadletter.
//   - A review case is a decision that only a person can take, about money or an
//     account: a duplicate payment, a changed bank account. It stays open until
//     somebody resolves it with a note. Only checkoutsvc has them, as rows of its
//     own with RPCs of their own.
//
// So a program that can go on by itself raises an alert at most; one that gave up
// leaves a dead letter; one that must not decide opens a review case.
package alert
