package scenario

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const (
	ourOrder  = "nanoidOfOurOrder00001"
	ourIntent = "pi_ours"
)

func load(t *testing.T, key string) (Scenario, [][]byte) {
	t.Helper()
	all, err := Load("testdata/stories.json")
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(all, func(s Scenario) bool { return s.Key == key })
	if i < 0 {
		t.Fatalf("no scenario %s", key)
	}
	bodies, err := all[i].bodies("testdata")
	if err != nil {
		t.Fatal(err)
	}
	return all[i], bodies
}

func TestNames(t *testing.T) {
	t.Parallel()
	for _, key := range []string{"a", "b", "c"} {
		t.Run(key, func(t *testing.T) {
			t.Parallel()
			s, bodies := load(t, key)
			mapped, err := newNames(bodies, s, ourOrder, ourIntent, "RUN1")
			if err != nil {
				t.Fatal(err)
			}
			for old, fresh := range mapped {
				if fresh != ourOrder && fresh != ourIntent && fresh != old+"RUN1" {
					t.Errorf("%s became %s", old, fresh)
				}
			}
			for i, body := range bodies {
				text := mapped.replacer().Replace(string(body))
				if strings.Contains(text, s.OrderID) || strings.Contains(text, s.PaymentIntent) {
					t.Errorf("%s still names the scenario's order or intent", s.Files[i])
				}
				var value any
				if err := json.Unmarshal([]byte(text), &value); err != nil {
					t.Fatal(err)
				}
				visitStrings(value, func(word string) {
					if isID(word) && word != ourIntent && !strings.HasSuffix(word, "RUN1") {
						t.Errorf("%s: the id %s is not of this run", s.Files[i], word)
					}
				})
			}
		})
	}
}

func TestIsID(t *testing.T) {
	t.Parallel()
	for word, want := range map[string]bool{
		"evt_3YHAK5ZJzpdWUcve0mJWq3CG7eU": true, "pi_ours": false, "acct_1Connected": true, "po_123456": true,
		"payment_intent": false, "insufficient_funds": false, "payment_intent.succeeded": false, "card_declined": false,
		"nanoidOfOurOrder00001": false,
	} {
		if isID(word) != want {
			t.Errorf("isID(%q) = %v", word, !want)
		}
	}
}

func TestReplacerKeepsIDsWhole(t *testing.T) {
	t.Parallel()
	mapped := names{"ch_123456": "ch_123456X", "ch_123456789": "ch_123456789X"}
	got := mapped.replacer().Replace(`["ch_123456789","ch_123456","https://pay/ch_123456?x"]`)
	want := `["ch_123456789X","ch_123456X","https://pay/ch_123456X?x"]`
	if got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestFinalObjects(t *testing.T) {
	t.Parallel()
	_, bodies := load(t, "c")
	objects, err := finalObjects(bodies)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, o := range objects {
		var state struct {
			Status string `json:"status"`
		}
		if err := json.Unmarshal(o.body, &state); err != nil {
			t.Fatal(err)
		}
		got[o.kind] += state.Status
	}
	want := map[string]string{
		"charge": "succeeded", "payment_intent": "succeeded", "dispute": "lost", "balance_transaction": "pending",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	slices.Reverse(bodies)
	reversed, err := finalObjects(bodies)
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range reversed {
		if o.kind == "dispute" && !strings.Contains(string(o.body), `"status":"lost"`) {
			t.Errorf("the last state of the dispute depends on the order of the files: %s", o.body)
		}
	}
}

func TestQuantity(t *testing.T) {
	t.Parallel()
	for key, want := range map[string]int64{"a1": 2, "a": 2, "b": 1, "c": 1} {
		s, _ := load(t, key)
		if got := s.quantity(); got != want {
			t.Errorf("scenario %s buys %d tickets, want %d", key, got, want)
		}
	}
}

func TestArrange(t *testing.T) {
	t.Parallel()
	events := []event{{id: "1"}, {id: "2"}, {id: "3"}, {id: "4"}}
	if got := eventIDs(arrange(events, Options{Double: true})); !slices.Equal(got, []string{"1", "1", "2", "2", "3", "3", "4", "4"}) {
		t.Errorf("doubled: %v", got)
	}
	first := eventIDs(arrange(events, Options{Shuffle: true, Seed: 7, Double: true}))
	if again := eventIDs(arrange(events, Options{Shuffle: true, Seed: 7, Double: true})); !slices.Equal(first, again) {
		t.Errorf("one seed gives %v and %v", first, again)
	}
	orders := map[string]bool{}
	for seed := range uint64(50) {
		orders[strings.Join(eventIDs(arrange(events, Options{Shuffle: true, Seed: seed})), "")] = true
	}
	if len(orders) < 10 {
		t.Errorf("50 seeds give only %d orders", len(orders))
	}
}
