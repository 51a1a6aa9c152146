// Package csvfile writes the files that people open in spreadsheets.
package csvfile

import (
	"bytes"
	"encoding/csv"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Write writes lines as RFC 4180 has them, after a first line of names unless that is nil.
func Write(head []string, lines [][]string) (string, error) {
	var out bytes.Buffer
	w := csv.NewWriter(&out)
	w.UseCRLF = true
	for _, line := range lines {
		for i := range line {
			line[i] = harmless(line[i])
		}
	}
	if head != nil {
		lines = append([][]string{head}, lines...)
	}
	if err := w.WriteAll(lines); err != nil {
		return "", fmt.Errorf("write csv: %w", err)
	}
	return out.String(), nil
}

// harmless keeps spreadsheets from taking a text for a formula. Numbers stay as they are.
func harmless(cell string) string {
	if cell == "" || !strings.ContainsRune("=+-@\t\r", rune(cell[0])) {
		return cell
	}
	if _, err := strconv.ParseInt(cell, 10, 64); err == nil {
		return cell
	}
	return "'" + cell
}

// Time is a time in a file.
func Time(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }
