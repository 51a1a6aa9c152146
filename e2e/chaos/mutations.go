package main

import (
	"bytes"
	"context"
	"embed"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/dayof/dayof/devenv/chaos"
	"github.com/dayof/dayof/devenv/crashpoint"
	"github.com/dayof/dayof/internal/chassis/clock"
	"github.com/dayof/dayof/internal/chassis/crash"
)

// patches hold one bug each, against the tree that this command is run in.
//
//go:embed mutations/*.patch
var patches embed.FS

// mutationRuns is how often each mutation is tested, unless -runs says so.
const mutationRuns = 3

// mutationPatience is for how long a system with a bug may have work left: it need not come to an end.
const mutationPatience = 20 * time.Second

// mutation is a bug that a chaos test must notice: what the test does then, and the rules by which it is caught.
type mutation struct {
	name   string // of its patch
	faults func(c *chaos.Config)
	rules  []string
}

func mutations() []mutation {
	return []mutation{
		{"no_fencing", func(c *chaos.Config) {
			c.StopPoint, c.StopFor = crashpoint.Name(crash.CheckoutAttemptFinishing)+":3", 14*time.Second // the lease and a sweep are over by then
		}, []string{"order_ends_once"}},
		{"sale_without_reference", func(c *chaos.Config) {
			c.Faults = 4
		}, []string{"transaction_has_a_reference", "completed_order_is_booked", "capture_is_booked_once"}},
		{"refund_without_row", func(c *chaos.Config) {
			c.CrashPoint = crashpoint.Name(crash.CheckoutRefundSent) + ":3"
		}, []string{"refund_at_stripe_has_its_row"}},
		{"push_before_commit", func(c *chaos.Config) {
			// Shorter than what Postgres lets a silent transaction live.
			c.StopPoint, c.StopFor, c.AllHaveDevices = crashpoint.Name(crash.PassRevised), 3*time.Second, true
		}, []string{"device_shows_the_current_pass"}},
		{"inbox_row_lost", func(c *chaos.Config) {
			c.DatabaseFailures = 9
		}, []string{"acknowledged_event_is_stored", "stripe_money_is_known"}},
	}
}

// testMutations makes sure that what each mutation is caught by is silent without it, then builds them in, one at a time.
func testMutations(ctx context.Context, o options, out io.Writer) (failed bool, err error) {
	dir, err := os.MkdirTemp("", "dayof-mutations-*")
	if err != nil {
		return true, err
	}
	defer os.RemoveAll(dir)
	base := o.config
	base.Sales, base.Buyers, base.Kills, base.Freezes, base.Faults, base.DatabaseFailures, base.Log = 60, 30, 0, 0, 0, 0, io.Discard
	sound := o.config.Program
	if sound == "" {
		sound = filepath.Join(dir, "sound")
		if err := build(ctx, sound, out); err != nil {
			return true, err
		}
	}
	runs := mutationRuns
	if o.runs > 1 {
		runs = o.runs
	}
	for _, m := range mutations() {
		if o.only != "" && o.only != m.name {
			continue
		}
		c := base
		m.faults(&c)
		c.Program = sound
		bad, err := once(ctx, c, out)
		if err != nil {
			return true, err
		}
		c.Patience = mutationPatience
		if c.Program, err = mutate(ctx, dir, m, out); err != nil {
			return true, err
		}
		caught, err := hunt(ctx, c, m, runs, out)
		if err != nil {
			return true, err
		}
		failed = failed || bad || caught < runs
		fmt.Fprintf(out, "%s: caught %d of %d; the sound one is clean: %t\n", m.name, caught, runs, !bad)
	}
	return failed, nil
}

// hunt runs the program with a bug, each time with another seed, and counts the runs that noticed it.
func hunt(ctx context.Context, c chaos.Config, m mutation, runs int, out io.Writer) (caught int, err error) {
	for i := range runs {
		if i > 0 {
			c.Seed++
		}
		r, took, err := chaosRun(ctx, c)
		if err != nil {
			return caught, fmt.Errorf("%s, seed %d: %w", m.name, c.Seed, err)
		}
		violated := map[string]int{}
		for _, v := range r.Violations {
			rule, _, _ := strings.Cut(v, ": ")
			violated[rule]++
		}
		by := slices.DeleteFunc(slices.Clone(m.rules), func(rule string) bool { return violated[rule] == 0 })
		if len(by) > 0 {
			caught++
		}
		fmt.Fprintf(out, "%s, seed %d: caught by %v; all violations: %v, in %v\n", m.name, c.Seed, by, violated, took)
	}
	return caught, nil
}

// mutate builds the program with a bug.
func mutate(ctx context.Context, dir string, m mutation, out io.Writer) (program string, err error) {
	overlay, err := patched(ctx, dir, m, out)
	if err != nil {
		return "", err
	}
	program = filepath.Join(dir, m.name+".bin")
	return program, build(ctx, program, out, "-overlay", overlay)
}

// patched applies a mutation's patch to copies of the files that it names, and returns the file by which the compiler takes
// those instead of the ones in the tree. A patch that does not fit any more is an error.
func patched(ctx context.Context, dir string, m mutation, out io.Writer) (overlay string, err error) {
	patch, err := patches.ReadFile("mutations/" + m.name + ".patch")
	if err != nil {
		return "", err
	}
	copies := filepath.Join(dir, m.name)
	replaced := map[string]string{}
	for line := range strings.Lines(string(patch)) {
		name, ok := strings.CutPrefix(strings.TrimSpace(line), "+++ ")
		if !ok {
			continue
		}
		original, err := filepath.Abs(name)
		if err != nil {
			return "", err
		}
		replaced[original] = filepath.Join(copies, name)
		if err := copyFile(original, replaced[original]); err != nil {
			return "", fmt.Errorf("mutations/%s.patch: %w", m.name, err)
		}
	}
	apply := exec.CommandContext(ctx, "git", "apply", "-p0", "-")
	apply.Dir, apply.Stdin, apply.Stdout, apply.Stderr = copies, bytes.NewReader(patch), out, out
	// Not the repository around: the copies are what it shall be applied to.
	apply.Env = append(os.Environ(), "GIT_CEILING_DIRECTORIES="+dir)
	if err := apply.Run(); err != nil {
		return "", fmt.Errorf("mutations/%s.patch does not fit the tree: %w", m.name, err)
	}
	text, err := json.Marshal(map[string]any{"Replace": replaced})
	if err != nil {
		return "", err
	}
	overlay = copies + ".json"
	return overlay, os.WriteFile(overlay, text, 0o600)
}

func copyFile(from, to string) error {
	content, err := os.ReadFile(filepath.Clean(from))
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
		return err
	}
	return os.WriteFile(to, content, 0o600) //nolint:gosec // below a directory of our own
}

func clockNow() time.Time { return clock.System{}.Now() }
