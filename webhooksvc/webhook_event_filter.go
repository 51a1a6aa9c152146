package webhooksvc

import (
	"fmt"
	"strings"

	webhookv1 "github.com/dayof/dayof/gen/dayof/webhook/v1"
	"github.com/dayof/dayof/internal/chassis/problem"
)

// conditions is a WHERE clause that depends on the request. All of it must hold.
type conditions struct {
	taken int // arguments that the statement has before ours
	parts []string
	args  []any
}

// add adds a condition; a ? in it stands for the argument.
func (c *conditions) add(part string, args ...any) {
	for _, arg := range args {
		c.args = append(c.args, arg)
		part = strings.Replace(part, "?", fmt.Sprintf("$%d", c.taken+len(c.args)), 1)
	}
	c.parts = append(c.parts, part)
}

// sql is the clause; without conditions it is true.
func (c *conditions) sql() string {
	if len(c.parts) == 0 {
		return "true"
	}
	return strings.Join(c.parts, " and ")
}

// checkFilter refuses instants that no calendar has; the schema lets them pass.
func checkFilter(f *webhookv1.WebhookEventFilter) error {
	if t := f.GetReceiveTimeFrom(); t != nil && t.CheckValid() != nil {
		return problem.InvalidField("filter.receive_time_from", "must be an instant between the years 1 and 9999")
	}
	if t := f.GetReceiveTimeUntil(); t != nil && t.CheckValid() != nil {
		return problem.InvalidField("filter.receive_time_until", "must be an instant between the years 1 and 9999")
	}
	return nil
}

// filterConditions is what a filter asks for; none for an empty one.
func filterConditions(f *webhookv1.WebhookEventFilter, taken int) conditions {
	c := conditions{taken: taken}
	if state, ok := stateNames[f.GetState()]; ok {
		c.add("state = '" + state + "'") // a constant, because the index of open events is a partial one
	}
	if f.GetType() != "" {
		c.add("type = ?", f.GetType())
	}
	if f.GetReceiveTimeFrom() != nil {
		c.add("receive_time >= ?", f.GetReceiveTimeFrom().AsTime())
	}
	if f.GetReceiveTimeUntil() != nil {
		c.add("receive_time < ?", f.GetReceiveTimeUntil().AsTime())
	}
	if f.GetObjectId() != "" {
		c.add("object_id = ?", f.GetObjectId())
	}
	return c
}
