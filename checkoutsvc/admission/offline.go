package admission

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/dayof/dayof/checkoutsvc/checkoutdb"
	"github.com/dayof/dayof/checkoutsvc/order"
	checkoutv1 "github.com/dayof/dayof/gen/dayof/checkout/v1"
)

// packageTicketsMax is how many tickets one package names: 160 KB.
const packageTicketsMax = 20_000

// position is where a package ended, as since holds it. Changes are numbered by the transactions that made them. A transaction that was open
// when a package was read may commit smaller numbers than one that the package has, so the next one begins at the oldest that was open: it
// may repeat changes and misses none.
type position struct {
	History  string `json:"h"` // of the database: numbers of another one mean nothing here
	EventID  string `json:"e"`
	AfterXID string `json:"x"`
	AfterID  string `json:"i,omitempty"`
	// Until is where the next package begins once this one is complete; empty when it is.
	Until string `json:"u,omitempty"`
}

func (p position) write() string {
	b, err := json.Marshal(p)
	if err != nil {
		panic("a position cannot be written: " + err.Error())
	}
	return base64.RawURLEncoding.EncodeToString(b)
}

// readPosition reads since; false when it is none of this event and this history, or is ahead of it, as after a restored snapshot.
func readPosition(since, eventID string, epoch checkoutdb.GetDoorEpochRow) (position, bool) {
	var p position
	b, err := base64.RawURLEncoding.DecodeString(since)
	if err != nil || json.Unmarshal(b, &p) != nil || p.History != epoch.History || p.EventID != eventID {
		return position{}, false
	}
	next, nextErr := strconv.ParseUint(epoch.NextXid, 10, 64)
	until, untilErr := next, error(nil)
	if p.Until != "" {
		until, untilErr = strconv.ParseUint(p.Until, 10, 64)
	}
	after, afterErr := strconv.ParseUint(p.AfterXID, 10, 64)
	if nextErr != nil || untilErr != nil || afterErr != nil || until > next || p.Until == "" && after > next {
		return position{}, false
	}
	return p, true
}

// GetOfflinePackage implements AdmissionService.
func (s *Service) GetOfflinePackage(ctx context.Context, req *checkoutv1.GetOfflinePackageRequest) (*checkoutv1.GetOfflinePackageResponse, error) {
	at, err := eventOf(ctx, req.GetEventId())
	if err != nil {
		return nil, err
	}
	policy, err := s.policy(ctx, s.Orders.Pool, at.eventID)
	if err != nil {
		return nil, err
	}
	epoch, err := s.q.GetDoorEpoch(ctx, s.Orders.Pool) // before the changes: what commits meanwhile is read twice, not never
	if err != nil {
		return nil, fmt.Errorf("get door epoch: %w", err)
	}
	p := &checkoutv1.OfflinePackage{EventId: at.eventID, MakeTime: timestamppb.New(s.Orders.Clock.Now()), Reentry: policy.GetReentry()}
	from, known := readPosition(req.GetSince(), at.eventID, epoch)
	if !known {
		p.Full, from = true, position{History: epoch.History, EventID: at.eventID, AfterXID: "0"}
	}
	if from.Until == "" {
		from.Until = epoch.NextXid
	}
	changes, err := s.q.ListDoorChanges(ctx, s.Orders.Pool, at.eventID, from.AfterXID, from.AfterID, packageTicketsMax+1)
	if err != nil {
		return nil, fmt.Errorf("list door changes: %w", err)
	}
	next := position{History: from.History, EventID: at.eventID, AfterXID: from.Until}
	more := len(changes) > packageTicketsMax
	if more {
		changes = changes[:packageTicketsMax]
		last := changes[packageTicketsMax-1]
		next.AfterXID, next.AfterID, next.Until = last.ChangeXid, last.TicketID, from.Until
	}
	p.NextSince = next.write()
	fill(p, changes)
	public := s.Codes.Public()
	for _, version := range slices.Sorted(maps.Keys(public)) {
		p.Keys = append(p.Keys, &checkoutv1.OfflineKey{Version: version, PublicKey: public[version]})
	}
	b, err := proto.Marshal(p)
	if err != nil {
		return nil, fmt.Errorf("encode offline package: %w", err)
	}
	signature, version := s.Codes.SignPackage(b)
	return &checkoutv1.GetOfflinePackageResponse{Package: b, Signature: signature, KeyVersion: version, NextSince: p.NextSince, More: more}, nil
}

// fill writes the tickets of changes into a package.
func fill(p *checkoutv1.OfflinePackage, changes []checkoutdb.ListDoorChangesRow) {
	for _, c := range changes {
		list := &p.Valid
		switch order.TicketState(c.State) {
		case order.TicketUsed:
			list = &p.Used
		case order.TicketVoid:
			list = &p.Void
		case order.TicketSuspended:
			list = &p.Suspended
		case order.TicketValid, order.TicketReserved:
			if p.GetFull() {
				continue // a device that begins anew has nothing to forget
			}
		}
		sum := sha256.Sum256([]byte(c.TicketID))
		*list = append(*list, sum[:ticketHashSize]...)
	}
}

// ticketHashSize is how much of the SHA-256 of a ticket's id stands for it. Of 40,000 tickets two are alike once in 10^10 events.
const ticketHashSize = 8
