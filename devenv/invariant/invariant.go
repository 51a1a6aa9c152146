// Package invariants asks a running dayof whether everything that must be true is true: over the databases of all
// services, the ledger and sandbox Stripe. It only reads.
//
// Work in flight is no violation. Three things keep it apart: what has a job, a dead letter or an alert that names it is
// still somebody's to do; facts are read in the order of effect before cause, so that what happens meanwhile appears as a
// cause without effect and never the other way round; and whatever seems wrong is read once more a little later.
package invariant

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/dayof/dayof/devenv/client"
)

// recheckDelay is how long after a violation was found everything is checked again: several rounds of the services' sweeps.
const recheckDelay = 5 * time.Second

// Result says what came of one invariant.
type Result struct {
	Name       string   `json:"name"`
	Rule       string   `json:"rule"`
	Violations []string `json:"violations"` // one sentence each; none when it holds
	// Excused is how many sales the rule does not hold for yet, because they are under way.
	Excused int `json:"excused,omitempty"`
}

// invariant is one rule and the way to find what breaks it.
type invariant struct {
	name  string
	rule  string
	check func(ctx context.Context, s *snapshot) ([]string, error)
	// service is whose database alone it reads; empty when it compares with the ledger or with Stripe.
	service string
	// excused counts the sales that check passes over as under way; nil counts none.
	excused func(s *snapshot) int
}

// invariants are all rules, in the order in which they are reported.
func invariants() []invariant {
	return slices.Concat(orderInvariants(), fulfilmentInvariants(), moneyInvariants(), ledgerInvariants(), splitInvariants(), passInvariants(), scheduleInvariants(), inboxInvariants(),
		stripeInvariants(), riskInvariants(), doorInvariants(), seatInvariants(), transferInvariants())
}

// Run checks all invariants of the system that the file describes. One that cannot be checked counts as violated. An error means
// that none could be.
func Run(ctx context.Context, f client.File) ([]Result, error) {
	first, err := runOnce(ctx, f)
	if err == nil && first[0].Name == partiesAnswer {
		first, err = runLater(ctx, f)
	}
	if err != nil || !anyViolated(first) || first[0].Name == partiesAnswer {
		return first, err
	}
	again, err := runLater(ctx, f)
	if err != nil || again[0].Name == partiesAnswer {
		return first, err
	}
	for i := range again {
		again[i].Violations = slices.DeleteFunc(again[i].Violations, func(v string) bool {
			return !slices.Contains(first[i].Violations, v)
		})
	}
	return again, nil
}

// runLater checks once more, when what was under way has had time to end.
func runLater(ctx context.Context, f client.File) ([]Result, error) {
	select {
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	case <-time.After(recheckDelay):
	}
	return runOnce(ctx, f)
}

// partiesAnswer is the first result when a party does not answer, and there only then: what compares with it was not checked.
const partiesAnswer = "parties_answer"

func anyViolated(results []Result) bool {
	return slices.ContainsFunc(results, func(r Result) bool { return len(r.Violations) > 0 })
}

func runOnce(ctx context.Context, f client.File) (results []Result, err error) {
	s, err := takeSnapshot(ctx, f)
	if err != nil {
		return nil, err
	}
	defer s.close()
	if len(s.away) > 0 {
		results = append(results, Result{Name: partiesAnswer, Rule: "the ledger and Stripe answer; what compares with them was not checked", Violations: s.away})
	}
	for _, inv := range invariants() {
		if inv.service == "" && len(s.away) > 0 {
			continue
		}
		violations, err := inv.check(ctx, s)
		if ctx.Err() != nil {
			return nil, fmt.Errorf("check %s: %w", inv.name, errors.Join(context.Cause(ctx), err))
		}
		if err != nil { // the others are checked anyway
			violations = append(violations, "could not be checked: "+err.Error())
		}
		if violations == nil {
			violations = []string{}
		}
		slices.Sort(violations)
		result := Result{Name: inv.name, Rule: inv.rule, Violations: violations}
		if inv.excused != nil {
			result.Excused = inv.excused(s)
		}
		results = append(results, result)
	}
	return results, nil
}

const (
	// readTriesMax is how often a party that does not answer is asked, because checks are made while faults are on.
	readTriesMax = 20
	readPause    = 100 * time.Millisecond
)

// persist repeats a read until it succeeds, ctx ends, or its tries are used up. Nothing is read twice into one value: a
// failed read leaves none.
func persist(ctx context.Context, read func() error) error {
	for try := 1; ; try++ {
		err := read()
		if err == nil || try == readTriesMax {
			return err
		}
		select {
		case <-ctx.Done():
			return errors.Join(context.Cause(ctx), err)
		case <-time.After(readPause):
		}
	}
}

// query is an invariant within one database: a statement whose rows are the violations, a sentence each.
func query(name, rule, service, sql string) invariant {
	return invariant{name: name, rule: rule, service: service, check: func(ctx context.Context, s *snapshot) ([]string, error) {
		pool := s.pools[service]
		if pool == nil {
			return nil, errors.New("no database of " + service)
		}
		rows, err := pool.Query(ctx, sql)
		if err != nil {
			return nil, err
		}
		defer rows.Close()
		var violations []string
		for rows.Next() {
			var sentence string
			if err := rows.Scan(&sentence); err != nil {
				return nil, err
			}
			violations = append(violations, sentence)
		}
		return violations, rows.Err()
	}}
}
