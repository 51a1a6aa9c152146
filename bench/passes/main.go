// Command passes measures what passsvc does for wallet passes: fresh signed passes beside passkit-generator (npm) on the same
// images and content, answers to devices beside a bare handler of net/http that writes the same bytes, pushes to the local
// sandbox of APNs, and the passes of a crowd that change.
//
//	go run ./bench/passes [-core 1] [-rounds 5] [-seconds 2] [-crowd 40000]
//
// It needs npm and node (Debian: nodejs npm) and taskset. Ours are the benchmarks of the tests of passsvc, built once. What is
// compared runs on one core, taken by both in turn, and is counted per second of the core's time, which others on a busy
// machine do not share; clients take their part of it. Pushes and crowds have all cores and are counted by the clock.
// Medians over the rounds are printed, and ratios are medians of the rounds' ratios.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"text/tabwriter"
)

func main() { os.Exit(program()) }

func program() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "passes:", err)
		return 1
	}
	return 0
}

type bench struct {
	dir     string // of everything that is built and written
	core    string
	seconds int
	crowd   int
	errOut  io.Writer

	figures map[string][]float64 // by name, one per round
}

func run(ctx context.Context, args []string, out, errOut io.Writer) (err error) {
	flags := flag.NewFlagSet("passes", flag.ContinueOnError)
	core := flags.Int("core", runtime.NumCPU()-1, "core for what is compared")
	rounds := flags.Int("rounds", 5, "interleaved rounds, of which the median counts")
	seconds := flags.Int("seconds", 2, "length of one measurement")
	crowd := flags.Int("crowd", 40_000, "passes that change, and devices that are notified")
	if err := flags.Parse(args); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "dayof-bench-*")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	b := &bench{
		dir: dir, core: strconv.Itoa(*core), seconds: *seconds, crowd: *crowd, errOut: errOut, figures: map[string][]float64{},
	}
	if err := b.build(ctx); err != nil {
		return err
	}
	if err := b.prepareGenerator(ctx); err != nil {
		return err
	}
	before := loadAverage()
	for round := range *rounds {
		fmt.Fprintf(errOut, "round %d of %d, load of the machine %s\n", round+1, *rounds, loadAverage())
		if err := b.round(ctx); err != nil {
			return err
		}
	}
	return b.print(out, *rounds, before)
}

// build compiles the benchmarks.
func (b *bench) build(ctx context.Context) error {
	build := exec.CommandContext(ctx, "go", "test", "-c", "-o", filepath.Join(b.dir, "passsvc.test"), "./passsvc")
	build.Stdout, build.Stderr = b.errOut, b.errOut
	if err := build.Run(); err != nil {
		return fmt.Errorf("build benchmarks; run this from the root of the module: %w", err)
	}
	return nil
}

// round measures everything once.
func (b *bench) round(ctx context.Context) error {
	time, count := fmt.Sprintf("%ds", b.seconds), fmt.Sprintf("%dx", b.crowd)
	if err := b.ours(ctx, true, "Archive", time); err != nil {
		return err
	}
	if err := b.theirs(ctx); err != nil {
		return err
	}
	if err := b.ours(ctx, true, "Fetch", time); err != nil {
		return err
	}
	if err := b.ours(ctx, true, "FreshFetch", time); err != nil {
		return err
	}
	if err := b.ours(ctx, false, "PushDelay", time); err != nil {
		return err
	}
	if err := b.ours(ctx, false, "Push", count); err != nil {
		return err
	}
	if err := b.ours(ctx, false, "Batch", count); err != nil {
		return err
	}
	return b.ours(ctx, false, "FanOut", count)
}

// ours runs one of our benchmarks and keeps its figures as "<benchmark> <unit>".
func (b *bench) ours(ctx context.Context, oneCore bool, name, length string) error {
	command := []string{
		filepath.Join(b.dir, "passsvc.test"), "-test.run", "^$", "-test.bench", "^Benchmark" + name + "$", "-test.benchtime", length,
	}
	if oneCore {
		command = append([]string{"taskset", "-c", b.core}, command...)
		command = append(command, "-test.cpu", "1")
	}
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.Dir, cmd.Stderr = "passsvc", b.errOut
	output, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("benchmark %s: %w\n%s", name, err, output)
	}
	found := false
	for line := range strings.Lines(string(output)) {
		fields := strings.Fields(line)
		if len(fields) < 4 || !strings.HasPrefix(fields[0], "Benchmark") {
			continue
		}
		found = true
		title, _, _ := strings.Cut(strings.TrimPrefix(fields[0], "Benchmark"), "-")
		for i := 2; i+1 < len(fields); i += 2 {
			value, err := strconv.ParseFloat(fields[i], 64)
			if err != nil {
				return fmt.Errorf("benchmark %s prints %q", name, line)
			}
			b.note(title+" "+fields[i+1], value)
		}
	}
	if !found {
		return fmt.Errorf("benchmark %s prints nothing: %s", name, output)
	}
	return nil
}

func (b *bench) note(name string, value float64) { b.figures[name] = append(b.figures[name], value) }

func (b *bench) median(name string) float64 { return median(b.figures[name]) }

func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	if len(sorted) == 0 {
		return 0
	}
	return sorted[len(sorted)/2]
}

// ratio is the median of the rounds' ratios of two figures.
func (b *bench) ratio(name, of string) float64 {
	var ratios []float64
	for i, value := range b.figures[name] {
		ratios = append(ratios, value/b.figures[of][i])
	}
	return median(ratios)
}

func (b *bench) print(out io.Writer, rounds int, before string) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "%d cores, %s, load before %s, after %s; medians of %d interleaved rounds\n\n", runtime.NumCPU(), runtime.Version(), before, loadAverage(), rounds)
	fmt.Fprintf(w, "per second of core %s\tpasssvc\tbeside\tratio\twanted\n", b.core)
	row := func(title string, ours, theirs, ratio, wanted float64, beside string) {
		fmt.Fprintf(w, "%s\t%.0f\t%.0f %s\t%.2f\t%.2g\n", title, ours, theirs, beside, ratio, wanted)
	}
	row("fresh signed passes/s", b.median("Archive archives/s"), b.median(theirPasses), b.ratio("Archive archives/s", theirPasses), 35, "passkit-generator")
	row("fresh signed passes/s", b.median("Archive archives/s"), b.median("Archive signatures/s"), b.median("Archive of-bare-signing"), 0.9, "bare RSA-2048")
	row("cached GET 200/s", b.median("Fetch/200 answers/s"), b.median("Fetch/200 bare-answers/s"), b.median("Fetch/200 of-bare"), 0.7, "bare handler")
	row("cached GET 304/s", b.median("Fetch/304 answers/s"), b.median("Fetch/304 bare-answers/s"), b.median("Fetch/304 of-bare"), 0.7, "bare handler")
	fmt.Fprintf(w, "fresh GET 200/s\t%.0f\n", b.median("FreshFetch answers/s"))
	fmt.Fprintf(w, "bytes of a pass\t%.0f\t%.0f passkit-generator\n", b.median("Archive bytes"), b.median(theirBytes))
	fmt.Fprintf(w, "\non %d cores, with Postgres and sandbox\n", runtime.NumCPU())
	fmt.Fprintf(w, "pushes/s of a crowd of %d\t%.0f\n", b.crowd, b.median("Push pushes/s"))
	fmt.Fprintf(w, "change to push at APNs, one by one\tp50 %.1f ms\tp99 %.1f ms\n", b.median("PushDelay p50-ms"), b.median("PushDelay p99-ms"))
	fmt.Fprintf(w, "passes/s of a crowd of %d that change\t%.0f\n", b.crowd, b.median("Batch passes/s"))
	fmt.Fprintf(w, "a crowd of %d changed and pushed\t%.1f s\t%.0f passes/s\n", b.crowd, b.median("FanOut s"), b.median("FanOut passes/s"))
	return w.Flush()
}

// loadAverage is the machine's, as the kernel reports it.
func loadAverage() string {
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "unknown"
	}
	return strings.Join(strings.Fields(string(text))[:3], " ")
}
