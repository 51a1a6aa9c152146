package passsvc

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"connectrpc.com/connect"
	"github.com/jackc/pgx/v5"

	passv1 "github.com/dayof/dayof/gen/dayof/pass/v1"
	"github.com/dayof/dayof/internal/chassis/crash"
	"github.com/dayof/dayof/internal/chassis/id"
	"github.com/dayof/dayof/internal/chassis/idem"
	"github.com/dayof/dayof/internal/chassis/problem"
	"github.com/dayof/dayof/passsvc/passdb"
)

// IssuePasses implements PassService. It is on the way of every checkout: four round trips and one commit for an
// order's tickets, and no signing. A ticket's pass stays the same whatever key the call has.
func (s *Service) IssuePasses(ctx context.Context, req *passv1.IssuePassesRequest) (*passv1.IssuePassesResponse, error) {
	wanted, err := issuer{s}.wantedPasses(req)
	if err != nil {
		return nil, err
	}
	now := s.Clock.Now()
	var revised []passdb.Pass
	res, err := idem.Do(ctx, s.Pool, now, issueFingerprint(req.GetOrderId(), wanted),
		func(ctx context.Context, tx pgx.Tx) (*passv1.IssuePassesResponse, error) {
			var rows []passdb.Pass
			var err error
			rows, revised, err = issuer{s}.issue(ctx, tx, now, req.GetOrderId(), wanted)
			if err != nil {
				return nil, err
			}
			res := &passv1.IssuePassesResponse{}
			for _, row := range rows {
				p, err := s.sealedPass(row)
				if err != nil {
					return nil, err
				}
				res.Passes = append(res.Passes, p)
			}
			return res, nil
		})
	if err != nil {
		return nil, err
	}
	crash.At(crash.PassIssued)
	s.changed(revised...)
	if res.OrderDownloadUrl, err = s.OrderURL(req.GetOrderId()); err != nil {
		return nil, err
	}
	for _, p := range res.GetPasses() {
		if err := s.openPass(p); err != nil {
			return nil, err
		}
	}
	return res, nil
}

// issuer makes the passes of IssuePasses.
type issuer struct{ *Service }

// issueType is the pass type of an organiser's new passes. An expired certificate is no reason to refuse a ticket:
// nothing is signed here.
func (s issuer) issueType(organizerID string) (string, error) {
	passType := s.Config.OrganizerPassTypes[organizerID]
	if passType == "" {
		passType = s.Config.PassType
	}
	if types := s.certificates.passTypes(); passType == "" && len(types) == 1 {
		passType = types[0]
	}
	if certificate, _ := s.certificates.signer(passType); certificate == nil {
		return "", problem.New(connect.CodeFailedPrecondition, "PASS_TYPE_UNKNOWN",
			"no certificate is set up for the pass type of new passes: see DAYOF_PASS_CERTIFICATE and DAYOF_PASS_TYPE")
	}
	return passType, nil
}

// wantedPass is what one ticket's pass shall show.
type wantedPass struct {
	passType     string // if it has no pass yet
	content      content
	changeNumber int64
}

func (s issuer) wantedPasses(req *passv1.IssuePassesRequest) ([]wantedPass, error) {
	wanted := make([]wantedPass, 0, len(req.GetPasses()))
	seen := map[string]bool{}
	var wrong []error // all that is wrong with the passes
	for i, p := range req.GetPasses() {
		path := "passes[" + strconv.Itoa(i) + "]"
		if seen[p.GetTicketId()] {
			wrong = append(wrong, problem.InvalidField(path+".ticket_id", "must not repeat another ticket of the request"))
		}
		seen[p.GetTicketId()] = true
		c, err := contentFromProto(req.GetOrderId(), p, path)
		wrong = append(wrong, err)
		passType, err := s.issueType(p.GetOrganizerId())
		wrong = append(wrong, err)
		wanted = append(wanted, wantedPass{passType: passType, content: c, changeNumber: p.GetTicketChangeNumber()})
	}
	if err := problem.All(wrong...); err != nil {
		return nil, err
	}
	return wanted, nil
}

// issue inserts the passes of tickets that have none and brings the others to newer content. It returns all rows in
// the order of wanted, and those that were revised.
func (s issuer) issue(
	ctx context.Context, tx pgx.Tx, now time.Time, orderID string, wanted []wantedPass,
) (rows, revised []passdb.Pass, err error) {
	byTicket, err := s.insertPasses(ctx, tx, now, orderID, wanted)
	if err != nil {
		return nil, nil, err
	}
	if len(byTicket) < len(wanted) {
		if revised, err = s.refresh(ctx, tx, now, byTicket, wanted); err != nil {
			return nil, nil, err
		}
	}
	for _, w := range wanted {
		rows = append(rows, byTicket[w.content.TicketID])
	}
	return rows, revised, nil
}

// insertPasses returns the rows that it made, by ticket. Others' tickets that are being issued elsewhere are waited for.
func (s issuer) insertPasses(
	ctx context.Context, tx pgx.Tx, now time.Time, orderID string, wanted []wantedPass,
) (map[string]passdb.Pass, error) {
	candidates := map[string]passdb.Pass{}
	params := passdb.InsertPassesParams{OrderID: orderID, TokenKeyVersion: int32(s.keys.newest), Now: now}
	for _, w := range wanted {
		encoded, err := json.Marshal(w.content)
		if err != nil {
			return nil, fmt.Errorf("encode content: %w", err)
		}
		row := passdb.Pass{
			Serial: id.New(), PassType: w.passType, TicketID: w.content.TicketID, OrderID: orderID, EventID: w.content.Event.ID,
			TicketChangeNumber: w.changeNumber, Content: encoded, ContentHash: w.content.hash(),
			TokenKeyVersion: params.TokenKeyVersion, Revision: 1,
			ReviseTime: now, ModifyTime: now.UTC().Truncate(time.Second), CreateTime: now,
		}
		candidates[row.TicketID] = row
		params.Serials = append(params.Serials, row.Serial)
		params.PassTypes = append(params.PassTypes, row.PassType)
		params.TicketIds = append(params.TicketIds, row.TicketID)
		params.EventIds = append(params.EventIds, row.EventID)
		params.TicketChangeNumbers = append(params.TicketChangeNumbers, row.TicketChangeNumber)
		params.Contents = append(params.Contents, row.Content)
		params.ContentHashes = append(params.ContentHashes, row.ContentHash)
	}
	inserted, err := s.q.InsertPasses(ctx, tx, params)
	if err != nil {
		return nil, fmt.Errorf("insert passes: %w", err)
	}
	made := make(map[string]passdb.Pass, len(inserted))
	for _, ticketID := range inserted {
		made[ticketID] = candidates[ticketID]
	}
	return made, nil
}

// refresh adds to byTicket the passes that were there before, and gives newer content to those whose ticket changed
// since, or whose holder has a newer name. What staff set stays, a suspended pass stays suspended, a used one used, and a void one void.
func (s issuer) refresh(
	ctx context.Context, tx pgx.Tx, now time.Time, byTicket map[string]passdb.Pass, wanted []wantedPass,
) (revised []passdb.Pass, err error) {
	want := map[string]wantedPass{}
	var tickets []string
	for _, w := range wanted {
		if _, made := byTicket[w.content.TicketID]; !made {
			want[w.content.TicketID] = w
			tickets = append(tickets, w.content.TicketID)
		}
	}
	rows, err := s.q.LockTicketPasses(ctx, tx, tickets)
	if err != nil {
		return nil, fmt.Errorf("lock passes: %w", err)
	}
	var revisions []revision
	for _, row := range rows {
		byTicket[row.TicketID] = row
		w := want[row.TicketID]
		before, err := decodeContent(row)
		if err != nil {
			return nil, err
		}
		if w.changeNumber <= row.TicketChangeNumber {
			r, isMaterial, err := material(row, before.withHolderOf(w.content))
			if err != nil {
				return nil, err
			}
			if isMaterial {
				revisions = append(revisions, r)
			}
			continue
		}
		next := w.content
		if before.HolderNumber > next.HolderNumber {
			next = next.withHolderOf(before)
		}
		next.Staff, next.Suspended, next.Used, next.Voided = before.Staff, before.Suspended, before.Used, before.Voided || next.Voided
		next.Event = before.Event.replacedBy(next.Event)
		row.TicketChangeNumber, row.OrderID, row.EventID = w.changeNumber, next.OrderID, next.Event.ID
		byTicket[row.TicketID] = row
		r, isMaterial, err := material(row, next)
		if err != nil {
			return nil, err
		}
		if isMaterial {
			revisions = append(revisions, r)
		} else if err := s.q.SetTicketChangeNumber(ctx, tx, row.Serial, row.TicketChangeNumber); err != nil {
			return nil, fmt.Errorf("note ticket change: %w", err)
		}
	}
	if len(revisions) == 0 {
		return nil, nil
	}
	if revised, err = s.revise(ctx, tx, now, cause{origin: originIssue}, revisions); err != nil {
		return nil, err
	}
	for _, row := range revised {
		byTicket[row.TicketID] = row
	}
	return revised, nil
}
