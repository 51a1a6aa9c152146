// Package wire converts the values that all messages share: money and times. Absent stays absent.
package wire

import (
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	moneyv1 "github.com/dayof/dayof/gen/dayof/money/v1"
)

// MoneyToProto is an amount in minor units of a currency.
func MoneyToProto(currency string, minorUnits int64) *moneyv1.Money {
	return &moneyv1.Money{Currency: currency, MinorUnits: minorUnits}
}

// TimeToProto keeps absent absent.
func TimeToProto(t *time.Time) *timestamppb.Timestamp {
	if t == nil {
		return nil
	}
	return timestamppb.New(*t)
}

// TimeFromProto keeps absent absent.
func TimeFromProto(t *timestamppb.Timestamp) *time.Time {
	if t == nil {
		return nil
	}
	at := t.AsTime()
	return &at
}
