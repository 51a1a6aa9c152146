// Package catalog implements CatalogService: organisers, events, products, variants and their immutable priced versions.
//
// Names, venues and limits change in place. What was sold keeps a snapshot of them, so that nothing here touches it.
package catalog

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"connectrpc.com/connect"
	"github.com/jackc/pgx/v5/pgxpool"
	"google.golang.org/protobuf/types/known/fieldmaskpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/dayof/dayof/checkoutsvc/checkoutdb"
	"github.com/dayof/dayof/internal/chassis/clock"
	"github.com/dayof/dayof/internal/chassis/problem"
	"github.com/dayof/dayof/internal/chassis/rpc"
)

// Service implements CatalogService. All exported fields are required.
type Service struct {
	Pool  *pgxpool.Pool
	Clock clock.Clock
	NewID func() string

	q        checkoutdb.Queries
	seatMaps seatMapCache
}

// isStaff says whether the caller sees drafts, and what is between organiser and platform.
func isStaff(ctx context.Context) bool { return rpc.CallerFrom(ctx).Role >= rpc.RoleOperator }

// checkNumber refuses to overwrite a change that the caller has not read.
func checkNumber(read, current int64) error {
	if read == 0 || read == current {
		return nil
	}
	return problem.New(connect.CodeFailedPrecondition, "UPDATE_NUMBER_STALE",
		fmt.Sprintf("it was changed meanwhile and its update_number is %d: read it again, then decide with a new key", current))
}

// setFields calls the setter of each field that a mask names.
func setFields(mask *fieldmaskpb.FieldMask, setters map[string]func()) error {
	paths := mask.GetPaths()
	if len(paths) == 0 {
		return problem.InvalidField("update_mask", "must name at least one field")
	}
	for _, path := range paths {
		set := setters[path]
		if set == nil {
			return problem.InvalidField("update_mask", "may name "+strings.Join(slices.Sorted(maps.Keys(setters)), ", "))
		}
		set()
	}
	return nil
}

// instant is a time as a part of a fingerprint; nil when it is absent.
func instant(t *timestamppb.Timestamp) any {
	if t == nil {
		return nil
	}
	return t.AsTime()
}

// limit is a limit as a row keeps it; nil for none.
func limit(n int32) *int32 {
	if n == 0 {
		return nil
	}
	return &n
}
