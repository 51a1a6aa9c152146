package passsvc

import (
	"fmt"
	"strconv"

	"google.golang.org/protobuf/types/known/timestamppb"

	passv1 "github.com/dayof/dayof/gen/dayof/pass/v1"
	"github.com/dayof/dayof/passsvc/passdb"
)

// stateOf returns what the archive of a stored pass is made from.
func stateOf(row passdb.Pass) (revisionState, error) {
	c, err := decodeContent(row)
	if err != nil {
		return revisionState{}, err
	}
	return revisionState{
		Serial: row.Serial, PassType: row.PassType, Revision: row.Revision, ContentHash: row.ContentHash,
		KeyVersion: int(row.TokenKeyVersion), ReviseTime: row.ReviseTime, ModifyTime: row.ModifyTime, Content: c,
	}, nil
}

// sealedPass returns row as a message that may be stored with an idempotency key: instead of its token it holds the
// version of the key that the token is derived from. openPass completes it.
func (s *Service) sealedPass(row passdb.Pass) (*passv1.Pass, error) {
	state, err := stateOf(row)
	if err != nil {
		return nil, err
	}
	p := &passv1.Pass{
		Serial:              row.Serial,
		PassTypeIdentifier:  row.PassType,
		TicketId:            row.TicketID,
		OrderId:             row.OrderID,
		EventId:             row.EventID,
		Revision:            row.Revision,
		ModifyTime:          timestamppb.New(row.ModifyTime),
		Voided:              state.Content.admitsNobody(),
		Suspended:           state.Content.onHold(),
		Used:                state.Content.isUsed(),
		AuthenticationToken: strconv.Itoa(int(row.TokenKeyVersion)),
	}
	// An expired certificate does not change which archive this is.
	if certificate, _ := s.certificates.signer(row.PassType); certificate != nil {
		p.Etag = s.renderer.etag(state, certificate)
	}
	return p, nil
}

// openPass puts token and link into a sealed pass.
func (s *Service) openPass(p *passv1.Pass) error {
	version, err := strconv.Atoi(p.GetAuthenticationToken())
	if err != nil {
		return fmt.Errorf("key version of pass %s: %w", p.GetSerial(), err)
	}
	if p.AuthenticationToken, err = s.keys.deviceToken(version, p.GetPassTypeIdentifier(), p.GetSerial()); err != nil {
		return err
	}
	link, err := s.keys.link(version, purposeTicket, p.GetSerial())
	if err != nil {
		return err
	}
	p.DownloadUrl = s.Config.PublicURL + "/t/" + link
	return nil
}

// passToProto returns row as a caller gets it.
func (s *Service) passToProto(row passdb.Pass) (*passv1.Pass, error) {
	p, err := s.sealedPass(row)
	if err != nil {
		return nil, err
	}
	return p, s.openPass(p)
}
