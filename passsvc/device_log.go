package passsvc

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"sync"
	"time"
	"unicode"

	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/types/known/timestamppb"

	passv1 "github.com/dayof/dayof/gen/dayof/pass/v1"
)

const (
	logLineMax = 1000 // characters of a line
	// logLinesMax is how many lines of one request are kept. In a minute logLinesPerDevice are kept that name one pass or
	// device that we know, and logLinesPerMinute of all others together: anybody may send those, and the newest say the
	// same as the rest.
	logLinesMax       = 20
	logLinesPerDevice = 60
	logLinesPerMinute = 600
	// logNamesMax is how many words of one request are looked up as serials and devices.
	logNamesMax = 50
	// logRetention and logLinesKept bound the table.
	logRetention = 14 * 24 * time.Hour
	logLinesKept = 100_000
	// logLinesListed is how many lines ListDeviceLogs returns.
	logLinesListed = 200
)

// strangers is what the lines that name nothing that we know are counted under.
const strangers = ""

// logLimit counts the lines of a minute in this process.
type logLimit struct {
	mu     sync.Mutex
	minute time.Time
	lines  map[string]int // by serial or device, and strangers
}

// take returns how many of n lines of a sender may be kept now.
func (l *logLimit) take(now time.Time, sender string, n int) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	if minute := now.Truncate(time.Minute); !minute.Equal(l.minute) {
		l.minute, l.lines = minute, map[string]int{}
	}
	most := logLinesPerDevice
	if sender == strangers {
		most = logLinesPerMinute
	}
	n = min(n, most-l.lines[sender])
	l.lines[sender] += n
	return n
}

// keepLog stores lines of a device, those that are too many excepted.
func (s walletService) keepLog(ctx context.Context, lines []string) error {
	now := s.Clock.Now()
	kept := make([]string, 0, logLinesMax)
	for _, line := range lines[:min(len(lines), logLinesMax)] {
		if line = cleanLine(line); line != "" {
			kept = append(kept, line)
		}
	}
	sender, err := s.logSender(ctx, kept)
	if err != nil {
		return err
	}
	kept = kept[:s.logLimit.take(now, sender, len(kept))]
	if len(kept) == 0 {
		return nil
	}
	if err := s.q.InsertDeviceLogs(ctx, s.Pool, now, kept); err != nil {
		return fmt.Errorf("insert device logs: %w", err)
	}
	return nil
}

// logName is what may be a serial or a device's identifier.
var logName = regexp.MustCompile(`[A-Za-z0-9_]{16,128}`)

// logSender returns the pass or device that lines are about, the first one that we know; strangers if there is none. Nothing
// proves that they come from there: whoever knows a serial uses up that pass's lines, and no other's.
func (s walletService) logSender(ctx context.Context, lines []string) (string, error) {
	names := logName.FindAllString(strings.Join(lines, "\n"), logNamesMax)
	if len(names) == 0 {
		return strangers, nil
	}
	sender, err := s.q.FindSerialOrDevice(ctx, s.Pool, names)
	if errors.Is(err, pgx.ErrNoRows) {
		return strangers, nil
	}
	if err != nil {
		return strangers, fmt.Errorf("find sender of device logs: %w", err)
	}
	return sender, nil
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
