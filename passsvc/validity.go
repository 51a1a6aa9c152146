package passsvc

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/maypok86/otter/v2"

	checkoutv1 "github.com/dayof/dayof/gen/dayof/checkout/v1"
	"github.com/dayof/dayof/gen/dayof/checkout/v1/checkoutv1connect"
	"github.com/dayof/dayof/passsvc/passdb"
)

const (
	// validityTimeout bounds the question whether a ticket is valid: a person waits for the page.
	validityTimeout = 2 * time.Second
	// validOrdersMax is how many orders are remembered as valid.
	validOrdersMax = 100_000
)

// validity knows which tickets have become valid. Passes are issued while the sale is being booked, so a link may be opened
// before its ticket admits anybody. All tickets of an order become valid at once, and what was valid once is remembered:
// what happens to a ticket after that is on its pass.
type validity struct {
	admission checkoutv1connect.AdmissionServiceClient // nil: every ticket is valid
	logger    *slog.Logger
	orders    *otter.Cache[string, struct{}] // that are valid, by id
}

func newValidity(admission checkoutv1connect.AdmissionServiceClient, logger *slog.Logger) (*validity, error) {
	orders, err := otter.New(&otter.Options[string, struct{}]{MaximumSize: validOrdersMax})
	if err != nil {
		return nil, fmt.Errorf("make cache of valid orders: %w", err)
	}
	return &validity{admission: admission, logger: logger, orders: orders}, nil
}

// known says whether the tickets of passes of one order are valid, or were. Void passes show that by themselves. When
// checkoutsvc does not answer, the passes are shown: whether a ticket admits is decided at the door.
func (v *validity) known(ctx context.Context, passes []passdb.Pass) bool {
	if v.admission == nil {
		return true
	}
	for _, row := range passes {
		c, err := decodeContent(row)
		if err != nil || c.admitsNobody() {
			continue
		}
		if _, known := v.orders.GetIfPresent(row.OrderID); known {
			return true
		}
		return v.ask(ctx, row, c.Code)
	}
	return true
}

// ask asks checkoutsvc about one ticket.
func (v *validity) ask(ctx context.Context, row passdb.Pass, code string) bool {
	ctx, cancel := context.WithTimeout(ctx, validityTimeout)
	defer cancel()
	res, err := v.admission.CheckTicket(ctx, &checkoutv1.CheckTicketRequest{Code: code})
	if err != nil {
		v.logger.LogAttrs(ctx, slog.LevelWarn, "pass shown without knowing whether its ticket is valid", slog.String("order_id", row.OrderID), slog.Any("error", err))
		return true
	}
	never := res.GetTicket() != nil && res.GetTicket().GetValidTime() == nil // a dispute may hold it back before it was valid
	if res.GetAdmission() == checkoutv1.Admission_ADMISSION_NOT_VALID_YET || never && res.GetAdmission() == checkoutv1.Admission_ADMISSION_SUSPENDED {
		return false
	}
	v.orders.Set(row.OrderID, struct{}{})
	return true
}
