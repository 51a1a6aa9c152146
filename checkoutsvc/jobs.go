package checkoutsvc

import (
	"time"

	"github.com/dayof/dayof/internal/chassis/jobs"
)

// outsideTimeout ends one attempt of a job that calls one outside party once or twice.
const outsideTimeout = 40 * time.Second

// moneyAttempts are the tries of jobs that move or book money: with the usual backoff, about two hours. What is
// exhausted then is an alert and a dead letter that an operator retries.
const moneyAttempts = 32

// registerJobs names the policy of every kind of job. Each is safe to run twice.
func (s *Service) registerJobs() {
	money := jobs.Policy{MaxAttempts: moneyAttempts, Timeout: outsideTimeout}
	jobs.Register(s.Jobs, money, s.settleReceipt)
	jobs.Register(s.Jobs, money, s.sendRefund)
	jobs.Register(s.Jobs, money, s.postRefund)
	jobs.Register(s.Jobs, money, s.recordFee)
	jobs.Register(s.Jobs, money, s.postDisputeFunds)
	jobs.Register(s.Jobs, money, s.postDisputeLoss)
	jobs.Register(s.Jobs, money, s.cancelIntents)
	jobs.Register(s.Jobs, money, s.refundFraud)
	s.Jobs.Periodic("remind_of_disputes", reminderInterval, s.remindOfDisputes)
	jobs.Register(s.Jobs, jobs.Policy{MaxAttempts: 24, Timeout: outsideTimeout}, s.voidPass)
	jobs.Register(s.Jobs, jobs.Policy{MaxAttempts: 24, Timeout: outsideTimeout}, s.suspendPass)
	jobs.Register(s.Jobs, jobs.Policy{MaxAttempts: 24, Timeout: outsideTimeout, Queue: "mail"}, s.sendReceipt)
}
