package client

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	checkoutv1 "github.com/dayof/dayof/gen/dayof/checkout/v1"
	"github.com/dayof/dayof/internal/chassis/rpc"
)

// Seat is a seat as files and people have it.
type Seat struct {
	Section string `json:"section"`
	Row     string `json:"row"`
	// Block tells parts of a row apart that an aisle divides.
	Block       string `json:"block,omitempty"`
	Label       string `json:"label"`
	VariantID   string `json:"variant_id,omitempty"`
	QualityRank int32  `json:"quality_rank"`
	X           *int32 `json:"x,omitempty"`
	Y           *int32 `json:"y,omitempty"`
	Accessible  bool   `json:"accessible,omitempty"`
	// These are not read from files.
	ID      string `json:"seat_id,omitempty"`
	State   string `json:"state,omitempty"`
	OrderID string `json:"order_id,omitempty"`
}

// ReadSeats reads a seat map: JSON, a list of seats, or CSV with a line of names first. Seats of a row stand beside each other in the order
// of the file.
func ReadSeats(file []byte) ([]Seat, error) {
	if bytes.HasPrefix(bytes.TrimSpace(file), []byte("[")) {
		var seats []Seat
		decoder := json.NewDecoder(bytes.NewReader(file))
		decoder.DisallowUnknownFields()
		if err := decoder.Decode(&seats); err != nil {
			return nil, fmt.Errorf("read seats: %w", err)
		}
		return seats, nil
	}
	r := csv.NewReader(bytes.NewReader(file))
	names, err := r.Read()
	if err != nil {
		return nil, fmt.Errorf("read the names of columns: %w", err)
	}
	var seats []Seat
	for {
		record, err := r.Read()
		if errors.Is(err, io.EOF) {
			return seats, nil
		}
		if err != nil {
			return nil, fmt.Errorf("read seats: %w", err)
		}
		var seat Seat
		for i, name := range names {
			if err := seat.set(strings.TrimSpace(name), strings.TrimSpace(record[i])); err != nil {
				line, _ := r.FieldPos(i)
				return nil, fmt.Errorf("line %d: %w", line, err)
			}
		}
		seats = append(seats, seat)
	}
}

// set reads one column.
func (s *Seat) set(name, value string) error {
	number := func(into *int32) error {
		n, err := strconv.ParseInt(value, 10, 32)
		if err != nil {
			return fmt.Errorf("%s is no whole number: %q", name, value)
		}
		*into = int32(n)
		return nil
	}
	switch name {
	case "section":
		s.Section = value
	case "row":
		s.Row = value
	case "block":
		s.Block = value
	case "label":
		s.Label = value
	case "variant_id":
		s.VariantID = value
	case "quality_rank":
		return number(&s.QualityRank)
	case "x", "y":
		if value == "" {
			return nil
		}
		n := new(int32)
		if name == "x" {
			s.X = n
		} else {
			s.Y = n
		}
		return number(n)
	case "accessible":
		s.Accessible = value != "" && value != "false" && value != "0"
	default:
		return fmt.Errorf("no such column: %s; there are section, row, block, label, variant_id, quality_rank, x, y, accessible", name)
	}
	return nil
}

// SetSeats sets the sections that a seat map has, one call each. Seats that name no variant are of the given one. What one call refuses
// leaves the sections before it set.
func (c *Client) SetSeats(ctx context.Context, eventID, variantID string, seats []Seat) error {
	for _, req := range seatMaps(eventID, variantID, seats) {
		if _, err := c.Catalog.SetSeatMap(rpc.WithIdempotencyKey(ctx, "seats/"+NewKey()), req); err != nil {
			return fmt.Errorf("set section %s: %w", req.GetSection(), err)
		}
	}
	return nil
}

// seatMaps are the requests of a seat map, in the order in which sections and rows come first.
func seatMaps(eventID, variantID string, seats []Seat) []*checkoutv1.SetSeatMapRequest {
	var maps []*checkoutv1.SetSeatMapRequest
	rows := map[[3]string]*checkoutv1.SeatRow{}
	for _, s := range seats {
		i := slices.IndexFunc(maps, func(m *checkoutv1.SetSeatMapRequest) bool { return m.GetSection() == s.Section })
		if i < 0 {
			i, maps = len(maps), append(maps, &checkoutv1.SetSeatMapRequest{EventId: eventID, Section: s.Section})
		}
		row := rows[[3]string{s.Section, s.Row, s.Block}]
		if row == nil {
			row = &checkoutv1.SeatRow{Label: s.Row}
			rows[[3]string{s.Section, s.Row, s.Block}] = row
			maps[i].Rows = append(maps[i].Rows, row)
		}
		if s.VariantID == "" {
			s.VariantID = variantID
		}
		row.Seats = append(row.Seats, &checkoutv1.MappedSeat{
			Label: s.Label, VariantId: s.VariantID, QualityRank: s.QualityRank, X: s.X, Y: s.Y, Accessible: s.Accessible,
		})
	}
	return maps
}

// Seats lists the seats of an event with what has become of them; of one section, or of all where it is empty.
func (c *Client) Seats(ctx context.Context, eventID, section string) ([]Seat, error) {
	seats := []Seat{}
	req := &checkoutv1.ListSeatsRequest{EventId: eventID, Section: section}
	for more := true; more; more = req.GetPageToken() != "" {
		res, err := c.Catalog.ListSeats(ctx, req)
		if err != nil {
			return nil, fmt.Errorf("list seats: %w", err)
		}
		for _, s := range res.GetSeats() {
			seats = append(seats, Seat{
				Section: s.GetSeat().GetSection(), Row: s.GetSeat().GetRow(), Label: s.GetSeat().GetLabel(), VariantID: s.GetVariantId(),
				QualityRank: s.GetQualityRank(), Accessible: s.GetAccessible(), ID: s.GetSeat().GetId(), State: Word(s.GetState()), OrderID: s.GetOrderId(),
			})
		}
		req.PageToken = res.GetNextPageToken()
	}
	return seats, nil
}
