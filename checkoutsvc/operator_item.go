package checkoutsvc

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"connectrpc.com/connect"
	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/dayof/dayof/checkoutsvc/checkoutdb"
	checkoutv1 "github.com/dayof/dayof/gen/dayof/checkout/v1"
	"github.com/dayof/dayof/internal/chassis/idem"
	"github.com/dayof/dayof/internal/chassis/jobs"
	"github.com/dayof/dayof/internal/chassis/page"
	"github.com/dayof/dayof/internal/chassis/problem"
)

// ListOperatorItems implements OperationsService.
func (s *Service) ListOperatorItems(
	ctx context.Context, req *checkoutv1.ListOperatorItemsRequest,
) (*checkoutv1.ListOperatorItemsResponse, error) {
	before, err := page.Parse(req.GetPageToken(), "operator_items", cursor{Time: endOfTime})
	if err != nil {
		return nil, err
	}
	size := pageSize(req.GetPageSize())
	items, err := s.q.ListOperatorItems(ctx, s.Pool, checkoutdb.ListOperatorItemsParams{
		BeforeTime: before.Time, BeforeID: before.ID, OrderID: req.GetOrderId(), IncludeResolved: req.GetIncludeResolved(), PageSize: size + 1,
	})
	if err != nil {
		return nil, fmt.Errorf("list operator items: %w", err)
	}
	res := &checkoutv1.ListOperatorItemsResponse{}
	if len(items) > int(size) {
		items = items[:size]
		last := items[size-1]
		res.NextPageToken = page.Token("operator_items", cursor{Time: last.CreateTime, ID: last.ID})
	}
	for _, item := range items {
		out, err := operatorItemToProto(item)
		if err != nil {
			return nil, err
		}
		res.Items = append(res.Items, out)
	}
	return res, nil
}

// ResolveOperatorItem implements OperationsService.
func (s *Service) ResolveOperatorItem(
	ctx context.Context, req *checkoutv1.ResolveOperatorItemRequest,
) (*checkoutv1.ResolveOperatorItemResponse, error) {
	now := s.Clock.Now()
	fingerprint := idem.Fingerprint(1, req.GetOperatorItemId(), req.GetNote())
	return idem.Do(ctx, s.Pool, now, fingerprint, func(ctx context.Context, tx pgx.Tx) (*checkoutv1.ResolveOperatorItemResponse, error) {
		if err := s.q.ResolveOperatorItem(ctx, tx, req.GetOperatorItemId(), &now, req.GetNote()); err != nil {
			return nil, fmt.Errorf("resolve operator item: %w", err)
		}
		item, err := s.q.GetOperatorItem(ctx, tx, req.GetOperatorItemId())
		if errors.Is(err, pgx.ErrNoRows) {
			return nil, problem.New(connect.CodeNotFound, "OPERATOR_ITEM_NOT_FOUND", "there is no such operator item")
		}
		if err != nil {
			return nil, fmt.Errorf("get operator item: %w", err)
		}
		if err := jobs.ResolveAlert(ctx, tx, item.Kind, item.Subject); err != nil { // of the kinds that have one too
			return nil, err
		}
		out, err := operatorItemToProto(item)
		return &checkoutv1.ResolveOperatorItemResponse{Item: out}, err
	})
}

func operatorItemToProto(item checkoutdb.OperatorItem) (*checkoutv1.OperatorItem, error) {
	facts := map[string]string{}
	if err := json.Unmarshal(item.Facts, &facts); err != nil {
		return nil, fmt.Errorf("read facts of operator item %s: %w", item.ID, err)
	}
	return &checkoutv1.OperatorItem{
		Id: item.ID, Kind: item.Kind, OrderId: item.OrderID, PaymentIntentId: item.PaymentIntent, Facts: facts,
		SuggestedAction: item.SuggestedAction, CreateTime: timestamppb.New(item.CreateTime), ResolveTime: toTimestamp(item.ResolveTime),
		ResolveNote: item.ResolveNote,
	}, nil
}
