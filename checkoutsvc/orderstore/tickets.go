package orderstore

import (
	"context"
	"errors"

	"github.com/dayof/dayof/checkoutsvc/checkoutdb"
	"github.com/dayof/dayof/checkoutsvc/order"
	"github.com/dayof/dayof/internal/chassis/pgdb"
)

func ticketFromRow(t checkoutdb.Ticket) order.Ticket {
	return order.Ticket{
		ID: t.ID, OrderID: t.OrderID, Position: t.Position, EventID: t.EventID, VariantID: t.VariantID, VariantVersion: t.VariantVersion,
		CodeKeyVersion: t.CodeKeyVersion, CreateTime: t.CreateTime, SnapshotSchema: t.SnapshotSchema, Snapshot: t.Snapshot,
		State: order.TicketState(t.State), PassSerial: t.PassSerial, ChangeNumber: t.ChangeNumber, ValidTime: t.ValidTime,
		SeatReturned: t.SeatReturned, ScheduleNumber: t.ScheduleNumber, HolderName: t.HolderName, HolderEmail: t.HolderEmail,
		HolderLanguage: t.HolderLanguage, HolderNumber: t.HolderNumber, Replaces: text(t.Replaces), SeatID: text(t.SeatID),
	}
}

// saveTickets writes what changed of tickets before those that are new: the database takes a replacement only of a void ticket.
func (s *Store) saveTickets(ctx context.Context, p *pgdb.Pipeline, rows order.Rows[order.Ticket]) error {
	var errs []error
	for _, t := range rows.Changed {
		errs = append(errs, s.q.SetTicketState(ctx, p, checkoutdb.SetTicketStateParams{
			ID: t.ID, State: string(t.State), PassSerial: t.PassSerial, ValidTime: t.ValidTime, ChangeNumber: t.ChangeNumber,
			SeatReturned: t.SeatReturned, SeatID: nullable(t.SeatID),
		}))
		if t.HolderNumber > 0 {
			errs = append(errs, s.q.SetTicketHolder(ctx, p, t.ID, t.HolderName, t.HolderNumber))
		}
	}
	for _, t := range rows.Added {
		if t.Replaces != "" {
			errs = append(errs, s.q.InsertReplacement(ctx, p, checkoutdb.InsertReplacementParams{
				ID: t.ID, OrderID: t.OrderID, Position: t.Position, EventID: t.EventID, VariantID: t.VariantID, VariantVersion: t.VariantVersion,
				Snapshot: t.Snapshot, SnapshotSchema: t.SnapshotSchema, CodeKeyVersion: t.CodeKeyVersion, CreateTime: t.CreateTime,
				ScheduleNumber: t.ScheduleNumber, Replaces: &t.Replaces, HolderName: t.HolderName, HolderEmail: t.HolderEmail,
				HolderLanguage: t.HolderLanguage, HolderNumber: t.HolderNumber, SeatID: nullable(t.SeatID),
			}))
			continue
		}
		errs = append(errs, s.q.InsertTicket(ctx, p, checkoutdb.InsertTicketParams{
			ID: t.ID, OrderID: t.OrderID, Position: t.Position, EventID: t.EventID, VariantID: t.VariantID, VariantVersion: t.VariantVersion,
			Snapshot: t.Snapshot, SnapshotSchema: t.SnapshotSchema, CodeKeyVersion: t.CodeKeyVersion, CreateTime: t.CreateTime,
			ScheduleNumber: t.ScheduleNumber, SeatID: nullable(t.SeatID),
		}))
	}
	return errors.Join(errs...)
}

func (s *Store) saveTransfers(ctx context.Context, p *pgdb.Pipeline, orderID string, rows order.Rows[order.Transfer]) error {
	var errs []error
	for _, t := range rows.Added {
		errs = append(errs, s.q.InsertTransfer(ctx, p, checkoutdb.InsertTransferParams{
			ID: t.ID, OrderID: orderID, TicketID: t.TicketID, RecipientName: t.RecipientName, RecipientEmail: t.RecipientEmail,
			RecipientLanguage: t.RecipientLanguage, CreateTime: t.CreateTime, ExpireTime: t.ExpireTime,
		}))
	}
	for _, t := range rows.Changed {
		errs = append(errs, s.q.EndTransfer(ctx, p, t.ID, string(t.State), t.EndTime))
	}
	return errors.Join(errs...)
}
