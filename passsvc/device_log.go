package passsvc

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"
	"unicode"

	"google.golang.org/protobuf/types/known/timestamppb"

	passv1 "github.com/dayof/dayof/gen/dayof/pass/v1"
)

const (
	logLineMax = 1000 // characters of a line
	// logLinesMax is how many lines of one request are kept, and logLinesPerMinute how many of all: anybody may send
	// them, and the newest say the same as the rest.
	logLinesMax       = 20
	logLinesPerMinute = 600
	// logRetention and logLinesKept bound the table.
	logRetention = 14 * 24 * time.Hour
	logLinesKept = 100_000
	// logLinesListed is how many lines ListDeviceLogs returns.
	logLinesListed = 200
)

// logLimit counts the lines of a minute in this process.
type logLimit struct {
	mu     sync.Mutex
	minute time.Time
	lines  int
}

// take returns how many of n lines may be kept now.
func (l *logLimit) take(now time.Time, n int) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	if minute := now.Truncate(time.Minute); !minute.Equal(l.minute) {
		l.minute, l.lines = minute, 0
	}
	n = min(n, logLinesMax, logLinesPerMinute-l.lines)
	l.lines += n
	return n
}

// keepLog stores lines of a device, those that are too many excepted.
func (s walletService) keepLog(ctx context.Context, lines []string) error {
	now := s.Clock.Now()
	lines = lines[:s.logLimit.take(now, len(lines))]
	kept := make([]string, 0, len(lines))
	for _, line := range lines {
		if line = cleanLine(line); line != "" {
			kept = append(kept, line)
		}
	}
	if len(kept) == 0 {
		return nil
	}
	if err := s.q.InsertDeviceLogs(ctx, s.Pool, now, kept); err != nil {
		return fmt.Errorf("insert device logs: %w", err)
	}
	return nil
}

// cleanLine makes a text of strangers fit to be stored and shown on a terminal: no control or format characters (they
// turn text around), valid UTF-8, and short.
func cleanLine(line string) string {
	line = strings.Map(func(r rune) rune {
		switch {
		case unicode.IsControl(r):
			return ' '
		case unicode.Is(unicode.Cf, r):
			return -1
		}
		return r
	}, strings.ToValidUTF8(line, "?"))
	if runes := []rune(line); len(runes) > logLineMax {
		line = string(runes[:logLineMax-1]) + "…"
	}
	return strings.TrimSpace(line)
}

// deleteOldLogs bounds the table.
func (s maintenance) deleteOldLogs(ctx context.Context) error {
	if _, err := s.q.DeleteOldDeviceLogs(ctx, s.Pool, s.Clock.Now().Add(-logRetention), logLinesKept); err != nil {
		return fmt.Errorf("delete old device logs: %w", err)
	}
	return nil
}

// ListDeviceLogs implements PassService.
func (s *Service) ListDeviceLogs(ctx context.Context, req *passv1.ListDeviceLogsRequest) (*passv1.ListDeviceLogsResponse, error) {
	rows, err := s.q.ListDeviceLogs(ctx, s.Pool, req.GetPassSerial(), logLinesListed)
	if err != nil {
		return nil, fmt.Errorf("list device logs: %w", err)
	}
	res := &passv1.ListDeviceLogsResponse{}
	for _, row := range rows {
		res.Logs = append(res.Logs, &passv1.DeviceLog{Time: timestamppb.New(row.LogTime), Line: row.Line})
	}
	return res, nil
}
