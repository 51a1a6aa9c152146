package catalog

import (
	"context"
	"errors"
	"fmt"
	"time"

	"connectrpc.com/connect"
	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/dayof/dayof/checkoutsvc/checkoutdb"
	checkoutv1 "github.com/dayof/dayof/gen/dayof/checkout/v1"
	"github.com/dayof/dayof/internal/chassis/idem"
	"github.com/dayof/dayof/internal/chassis/page"
	"github.com/dayof/dayof/internal/chassis/problem"
)

var errNoProduct = problem.New(connect.CodeNotFound, "PRODUCT_NOT_FOUND", "there is no such product")

// CreateProduct implements CatalogService.
func (s *Service) CreateProduct(ctx context.Context, req *checkoutv1.CreateProductRequest) (*checkoutv1.CreateProductResponse, error) {
	now := s.Clock.Now()
	fingerprint := idem.Fingerprint(1, req.GetEventId(), req.GetName())
	return idem.Do(ctx, s.Pool, now, fingerprint, func(ctx context.Context, tx pgx.Tx) (*checkoutv1.CreateProductResponse, error) {
		if err := s.keepEvent(ctx, tx, req.GetEventId()); err != nil {
			return nil, err
		}
		id := s.NewID()
		if err := s.q.InsertProduct(ctx, tx, id, req.GetEventId(), req.GetName(), now); err != nil {
			return nil, fmt.Errorf("insert product: %w", err)
		}
		return &checkoutv1.CreateProductResponse{Product: productToProto(checkoutdb.Product{
			ID: id, EventID: req.GetEventId(), Name: req.GetName(), CreateTime: now, UpdateNumber: 1,
		})}, nil
	})
}

// keepEvent keeps an event from being deleted until the transaction has ended.
func (s *Service) keepEvent(ctx context.Context, tx pgx.Tx, id string) error {
	_, err := s.q.KeepEvent(ctx, tx, id)
	if errors.Is(err, pgx.ErrNoRows) {
		return errNoEvent
	}
	if err != nil {
		return fmt.Errorf("keep event: %w", err)
	}
	return nil
}

// UpdateProduct implements CatalogService.
func (s *Service) UpdateProduct(ctx context.Context, req *checkoutv1.UpdateProductRequest) (*checkoutv1.UpdateProductResponse, error) {
	fingerprint := idem.Fingerprint(1, req.GetProductId(), req.GetName(), req.GetUpdateNumber())
	return idem.Do(ctx, s.Pool, s.Clock.Now(), fingerprint, func(ctx context.Context, tx pgx.Tx) (*checkoutv1.UpdateProductResponse, error) {
		p, err := s.q.LockProduct(ctx, tx, req.GetProductId())
		if errors.Is(err, pgx.ErrNoRows) {
			return nil, errNoProduct
		}
		if err != nil {
			return nil, fmt.Errorf("lock product: %w", err)
		}
		if err := checkNumber(req.GetUpdateNumber(), p.UpdateNumber); err != nil {
			return nil, err
		}
		p.Name = req.GetName()
		if p.UpdateNumber, err = s.q.RenameProduct(ctx, tx, p.ID, p.Name); err != nil {
			return nil, fmt.Errorf("rename product: %w", err)
		}
		return &checkoutv1.UpdateProductResponse{Product: productToProto(p)}, nil
	})
}

// GetProduct implements CatalogService.
func (s *Service) GetProduct(ctx context.Context, req *checkoutv1.GetProductRequest) (*checkoutv1.GetProductResponse, error) {
	p, err := s.q.GetProduct(ctx, s.Pool, req.GetProductId())
	if errors.Is(err, pgx.ErrNoRows) || err == nil && !visible(ctx, p.Publication) {
		return nil, errNoProduct
	}
	if err != nil {
		return nil, fmt.Errorf("get product: %w", err)
	}
	return &checkoutv1.GetProductResponse{Product: productToProto(checkoutdb.Product{
		ID: p.ID, EventID: p.EventID, Name: p.Name, CreateTime: p.CreateTime, UpdateNumber: p.UpdateNumber,
	})}, nil
}

// ListProducts implements CatalogService.
func (s *Service) ListProducts(ctx context.Context, req *checkoutv1.ListProductsRequest) (*checkoutv1.ListProductsResponse, error) {
	if err := s.checkEvent(ctx, req.GetEventId()); err != nil {
		return nil, err
	}
	name := page.List("products", &checkoutv1.ListProductsRequest{EventId: req.GetEventId()})
	after, err := page.Parse(req.GetPageToken(), name, page.Cursor{Time: time.Unix(0, 0)})
	if err != nil {
		return nil, err
	}
	size := page.Size(req.GetPageSize())
	products, err := s.q.ListProducts(ctx, s.Pool, req.GetEventId(), after.Time, after.ID, size+1)
	if err != nil {
		return nil, fmt.Errorf("list products: %w", err)
	}
	res := &checkoutv1.ListProductsResponse{}
	if len(products) > int(size) {
		products = products[:size]
		last := products[size-1]
		res.NextPageToken = page.Token(name, page.Cursor{Time: last.CreateTime, ID: last.ID})
	}
	for _, p := range products {
		res.Products = append(res.Products, productToProto(p))
	}
	return res, nil
}

func productToProto(p checkoutdb.Product) *checkoutv1.Product {
	return &checkoutv1.Product{
		Id: p.ID, EventId: p.EventID, Name: p.Name, CreateTime: timestamppb.New(p.CreateTime), UpdateNumber: p.UpdateNumber,
	}
}
