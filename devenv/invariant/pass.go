package invariant

import (
	"context"
	"fmt"
)

// passInvariants compare passes with tickets, both ways.
func passInvariants() []invariant {
	return []invariant{
		{name: "valid_ticket_has_its_pass", rule: "a valid ticket has one pass, under the serial that the ticket names", check: passesOfTickets},
		{name: "pass_has_a_ticket", rule: "no pass is of a ticket that does not exist", check: ticketsOfPasses},
		{name: "void_ticket_has_void_pass", rule: "the pass of a void ticket says so", check: voidPasses},
		// Pushes are kept for 30 days.
		query("revision_has_its_pushes", "every device that has a pass is notified of its latest revision", "pass", `
			select format('device %s was not notified of revision %s of pass %s', r.device_id, p.revision, p.serial)
			from passes p join registrations r on r.serial = p.serial
			where p.revision > 1 and r.register_time < p.revise_time and p.revise_time > now() - interval '29 days'
				and not exists (select from pushes u where u.serial = p.serial and u.revision = p.revision and u.device_id = r.device_id)`),
		query("push_has_its_revision", "no device is notified of a revision that does not exist", "pass", `
			select format('device %s was notified of revision %s of pass %s, which is at %s', u.device_id, u.revision, u.serial, p.revision)
			from pushes u join passes p on p.serial = u.serial where u.revision > p.revision`),
	}
}

type pass struct {
	serial, ticketID, orderID string
	voided                    bool
}

// passes reads the passes by ticket.
func (s *snapshot) passes(ctx context.Context) (map[string]pass, error) {
	out := map[string]pass{}
	var p pass
	err := each(ctx, s.pools["pass"], `select serial, ticket_id, order_id, coalesce((content->>'voided')::boolean, false) from passes`,
		[]any{&p.serial, &p.ticketID, &p.orderID, &p.voided}, func() { out[p.ticketID] = p })
	return out, err
}

func passesOfTickets(ctx context.Context, s *snapshot) ([]string, error) {
	passes, err := s.passes(ctx)
	var violations []string
	for _, t := range s.tickets {
		if (t.state == "valid" || t.state == "used") && passes[t.id].serial != t.passSerial {
			violations = append(violations, fmt.Sprintf("ticket %s names pass %q, but passsvc has %q", t.id, t.passSerial, passes[t.id].serial))
		}
	}
	return violations, err
}

func ticketsOfPasses(ctx context.Context, s *snapshot) ([]string, error) {
	passes, err := s.passes(ctx)
	if err != nil {
		return nil, err
	}
	// Tickets are written before their passes, so they are read after them here.
	known := map[string]bool{}
	var id string
	err = each(ctx, s.pools["checkout"], `select id from tickets`, []any{&id}, func() { known[id] = true })
	var violations []string
	for ticketID, p := range passes {
		if !known[ticketID] {
			violations = append(violations, fmt.Sprintf("pass %s is of ticket %s, which does not exist", p.serial, ticketID))
		}
	}
	return violations, err
}

func voidPasses(ctx context.Context, s *snapshot) ([]string, error) {
	passes, err := s.passes(ctx)
	var violations []string
	for _, t := range s.tickets {
		p, issued := passes[t.id]
		if t.state == "void" && t.passSerial != "" && issued && !p.voided && !s.pending.mentions(t.id, t.orderID) {
			violations = append(violations, fmt.Sprintf("ticket %s is void, its pass %s is not", t.id, p.serial))
		}
	}
	return violations, err
}
