// Package jobs does a service's background work, on River.
//
// A job is inserted in the transaction of the fact it follows from, so that
// there is never one without the other. Its arguments are ids, never state: it
// reads the facts as they are when it runs. It may run more than once (a crash
// after its effect, before River hears of it), so every job is safe to repeat.
//
// What a job returns decides what becomes of it, see outcome.go:
//
//	nil                      done
//	any error                tried again after a backoff, until its attempts are exhausted
//	Snooze(d)                tried again after d; no attempt is spent
//	an open circuit breaker  the same
//	Cancel(err)              of no use to try again
//
// Exhausted and cancelled jobs become dead letters with an alert (packages
// deadletter and alert), once, from the rows: also when the process that ran them
// died. A process asks for jobs only while it has some or has just inserted some;
// what others leave behind is found with its heartbeats, so an idle process hardly
// asks anything (heartbeat.go). Work that is due by the clock is in periodic.go, work that is found in
// rows in sweep.go, all SQL on River's own table in river_table.go.
//
// # What is known of River v0.51.1
//
// A job whose process died is run again when its kind's timeout is over, by a
// rescue every 30 s on the leader; leadership takes up to 16 s to move. So
// nothing that people wait for depends on a rescue.
//
// The error handler does not hear of cancelled jobs nor of those that the
// rescue discards, and River deletes both after days: hence our own rows.
//
// Periodic jobs of River's live in the leader's memory and do not catch up:
// hence the tick table.
//
// Unique options block on completed and running rows too; jobs here do without,
// or set ByState with care.
//
// An insert sends a NOTIFY also when the client only polls, see river.go.
package jobs
