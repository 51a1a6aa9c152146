package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// clockTick is the unit of times in /proc: USER_HZ is 100 on all that Linux runs on.
const clockTick = 10 * time.Millisecond

// usage is the time of cores that was used, by who used it.
type usage map[string]time.Duration

// cores reads what this process and its descendants have used so far: "load" is this process, the others go by name of
// their program ("postgres", "node", "dayof"). It is empty where there is no /proc.
func cores() usage {
	parents, used, names := map[int]int{}, map[int]time.Duration{}, map[int]string{}
	files, _ := filepath.Glob("/proc/[0-9]*/stat") // the pattern is good
	for _, file := range files {
		text, err := os.ReadFile(filepath.Clean(file))
		if err != nil {
			continue // ended meanwhile
		}
		// pid (comm) state ppid ...; comm may hold anything. utime to cstime are fields 14 to 17. See proc(5).
		before, after, _ := strings.Cut(string(text), "(")
		name, rest, _ := strings.Cut(after, ") ")
		fields := strings.Fields(rest)
		pid, err := strconv.Atoi(strings.TrimSpace(before))
		if err != nil || len(fields) < 15 {
			continue
		}
		names[pid] = name
		parents[pid], _ = strconv.Atoi(fields[1])
		for _, field := range fields[11:13] { // own time; that of children that have ended would be counted twice
			ticks, _ := strconv.ParseInt(field, 10, 64)
			used[pid] += time.Duration(ticks) * clockTick
		}
	}
	sum := usage{}
	self := os.Getpid()
	for pid := range used {
		ancestor := pid
		for ancestor > 1 && ancestor != self {
			ancestor = parents[ancestor]
		}
		switch {
		case ancestor != self:
		case pid == self:
			sum["load"] += used[pid]
		default:
			sum[names[pid]] += used[pid]
		}
	}
	return sum
}

// since is what was used after before.
func (u usage) since(before usage) usage {
	diff := usage{}
	for name, used := range u {
		diff[name] = used - before[name]
	}
	return diff
}

// loadAverage is the machine's, as the kernel reports it.
func loadAverage() string {
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "unknown"
	}
	return strings.Join(strings.Fields(string(text))[:3], " ")
}

// perRequest is time of cores per request.
func perRequest(used time.Duration, requests int) string {
	if requests == 0 {
		return "-"
	}
	return fmt.Sprintf("%.0f µs", float64(used.Microseconds())/float64(requests))
}
