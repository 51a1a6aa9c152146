package scenario

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/dayof/dayof/devenv/client"
)

func TestCompare(t *testing.T) {
	t.Parallel()
	got := EndState{
		Order: "paid", Tickets: map[string]int{"valid": 2}, Captured: 8900, LedgerNetOfSale: 8900, IssuedTimes: 1,
		Payouts: map[string]string{}, Events: map[string]int{"applied": 4, "rejected": 1}, Reasons: []string{"livemode_mismatch: a live event"},
		Recorded: true,
	}
	for name, c := range map[string]struct {
		expect      string
		differences []string
		notCompared []string
	}{
		"the same":            {expect: `{"order":"paid","tickets":{"valid":2},"captured":8900,"issued_times":1,"payouts":{}}`},
		"another amount":      {expect: `{"captured":8901}`, differences: []string{"captured"}},
		"a missing ticket":    {expect: `{"tickets":{"valid":1}}`, differences: []string{"tickets"}},
		"no tickets":          {expect: `{"tickets":{}}`, differences: []string{"tickets"}},
		"an unknown key":      {expect: `{"mood":"good"}`, notCompared: []string{"mood"}},
		"recorded":            {expect: `{"recorded":true}`},
		"recorded by reason":  {expect: `{"recorded":"livemode_mismatch"}`},
		"recorded otherwise":  {expect: `{"recorded":"unknown_version"}`, differences: []string{"recorded"}},
		"recorded by number":  {expect: `{"recorded":5}`},
		"an item that is not": {expect: `{"operator_item":true}`, differences: []string{"operator_item"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			differences, notCompared, err := compare(got, decode(t, c.expect))
			if err != nil {
				t.Fatal(err)
			}
			var names []string
			for _, d := range differences {
				names = append(names, d.Name)
			}
			if diff := cmp.Diff(c.differences, names); diff != "" {
				t.Error(diff)
			}
			if diff := cmp.Diff(c.notCompared, notCompared); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestNetOfSale(t *testing.T) {
	t.Parallel()
	clearing := "stripe:platform:main:3"
	got, err := netOfSale([]client.Posting{
		{Source: clearing, Destination: "orders:o:payment", Amount: "12000", Reference: "capture:pi_1"},
		{Source: "orders:o:payment", Destination: "organizers:g:payable", Amount: "12000", Reference: "capture:pi_1"},
		{Source: "platform:costs:stripe_fees", Destination: clearing, Amount: "205", Reference: "fee:txn_1"},
		{Source: "orders:o:disputes:d", Destination: clearing, Amount: "12000", Reference: "dispute-w:txn_2"},
		{Source: "platform:costs:dispute_fees", Destination: clearing, Amount: "1500", Reference: "dispute-w:txn_2"},
	})
	if err != nil || got != -1500 {
		t.Errorf("net of sale is %d, %v; want -1500", got, err)
	}
}

func decode(t *testing.T, text string) map[string]any {
	t.Helper()
	var out map[string]any
	decoder := json.NewDecoder(strings.NewReader(text))
	decoder.UseNumber()
	if err := decoder.Decode(&out); err != nil {
		t.Fatal(err)
	}
	return out
}
