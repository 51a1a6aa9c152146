package main

import (
	"context"
	"io"
	"time"

	"github.com/dayof/dayof/internal/chassis/clock"
)

func clockNow() time.Time { return clock.System{}.Now() }

func plantAll(context.Context, options, io.Writer) (bool, error) { return true, nil }
