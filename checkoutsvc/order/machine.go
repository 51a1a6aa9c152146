package order

import (
	"maps"
	"reflect"
	"slices"
)

// Machine is a state machine as data. What each state means is said where its constant is declared.
type Machine struct {
	Name    string // of the noun: ticket, refund ...
	Type    string // of the constants, such as TicketState
	Initial string
	Next    map[string][]string // where each state may go; none from a final state
}

// Machines are all state machines of an order. docs/states.md is generated from them.
func Machines() []Machine {
	return []Machine{
		machine("payment", PaymentAwaiting, paymentTransitions),
		machine("fulfilment", FulfilmentNone, fulfilmentTransitions),
		machine("hold", HoldActive, holdTransitions),
		machine("ticket", TicketReserved, ticketTransitions),
		machine("payment intent", IntentRequiresPaymentMethod, intentTransitions),
		machine("refund", RefundRequested, refundTransitions),
		machine("dispute", DisputeNeedsResponse, disputeTransitions),
		machine("transfer", TransferPending, transferTransitions),
	}
}

func machine[S ~string](name string, initial S, transitions map[S][]S) Machine {
	m := Machine{Name: name, Type: reflect.TypeFor[S]().Name(), Initial: string(initial), Next: map[string][]string{}}
	for from, all := range transitions {
		next := []string{}
		for _, to := range all {
			next = append(next, string(to))
		}
		slices.Sort(next)
		m.Next[string(from)] = next
	}
	return m
}

// States returns the machine's states in alphabetical order.
func (m Machine) States() []string { return slices.Sorted(maps.Keys(m.Next)) }

// May says whether the machine allows a move. Staying is always allowed.
func (m Machine) May(from, to string) bool { return from == to || slices.Contains(m.Next[from], to) }

// mustMove panics on a move that the table forbids: our own code derived an impossible state.
func mustMove[S ~string](noun string, transitions map[S][]S, from, to S) {
	if from != to && !slices.Contains(transitions[from], to) {
		panic("a " + noun + " cannot go from " + string(from) + " to " + string(to))
	}
}
