package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// usage is what a process has used.
type usage struct {
	rss, peak int64 // bytes
	cpu       time.Duration
}

// readLedgersvc reads the usage of the process of ledgersvc, a child of ours.
func readLedgersvc() (usage, error) {
	processes, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return usage{}, err
	}
	for _, dir := range processes {
		command, err := os.ReadFile(filepath.Join(dir, "cmdline"))
		if err != nil || !bytes.Contains(command, []byte("\x00serve\x00ledger")) {
			continue // it ended, or is another
		}
		status, err := readStatus(dir)
		if err != nil || status["PPid"] != int64(os.Getpid()) {
			continue
		}
		cpu, err := cpuTime(dir)
		return usage{rss: status["VmRSS"] << 10, peak: status["VmHWM"] << 10, cpu: cpu}, err
	}
	return usage{}, errors.New("ledgersvc does not run below this process")
}

// readStatus reads the numbers of a process's status.
func readStatus(dir string) (map[string]int64, error) {
	text, err := os.ReadFile(filepath.Join(dir, "status"))
	if err != nil {
		return nil, err
	}
	numbers := map[string]int64{}
	for lines := bufio.NewScanner(bytes.NewReader(text)); lines.Scan(); {
		name, rest, _ := strings.Cut(lines.Text(), ":")
		if fields := strings.Fields(rest); len(fields) > 0 {
			if n, err := strconv.ParseInt(fields[0], 10, 64); err == nil {
				numbers[name] = n
			}
		}
	}
	return numbers, nil
}

// ticksPerSecond is the unit of times in /proc on Linux.
const ticksPerSecond = 100

// cpuTime is what a process has used of the cores.
func cpuTime(dir string) (time.Duration, error) {
	text, err := os.ReadFile(filepath.Join(dir, "stat"))
	if err != nil {
		return 0, err
	}
	_, rest, ok := bytes.Cut(text, []byte(") "))
	fields := strings.Fields(string(rest))
	if !ok || len(fields) < 13 {
		return 0, fmt.Errorf("read %s/stat: %q", dir, text)
	}
	var ticks int64
	for _, field := range fields[11:13] { // in user mode and in the kernel
		n, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("read %s/stat: %w", dir, err)
		}
		ticks += n
	}
	return time.Duration(ticks) * time.Second / ticksPerSecond, nil
}
