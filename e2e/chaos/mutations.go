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

// plantedRuns is how often each bug is planted, unless -runs says so.
const plantedRuns = 3

// plantedPatience is for how long a system with a bug may have work left: it need not come to an end.
const plantedPatience = 20 * time.Second

// bug is a mistake that the ordeal must notice: what it suffers then, and the rules by which it is caught.
type bug struct {
	name   string // of its patch
	suffer func(c *chaos.Config)
	rules  []string
}

func bugs() []bug {
	return []bug{
		{"no_fencing", func(c *chaos.Config) {
			c.StopPoint, c.StopFor = crashpoint.Name(crash.CheckoutWalkFinishing)+":3", 14*time.Second // the lease and a sweep are over by then
		}, []string{"order_ends_once"}},
		{"sale_without_reference", func(c *chaos.Config) {
			c.Faults = 4
		}, []string{"transaction_has_a_reference", "completed_order_is_booked", "capture_is_booked_once"}},
		{"refund_without_row", func(c *chaos.Config) {
			c.CrashPoint = crashpoint.Name(crash.CheckoutRefundSent) + ":3"
		}, []string{"refund_at_stripe_has_its_row"}},
		{"push_before_commit", func(c *chaos.Config) {
			// Shorter than what Postgres lets a silent transaction live.
			c.StopPoint, c.StopFor, c.AllHavePhones = crashpoint.Name(crash.PassRevised), 3*time.Second, true
		}, []string{"phone_shows_the_truth"}},
		{"inbox_row_lost", func(c *chaos.Config) {
			c.DatabaseFailures = 9
		}, []string{"acknowledged_event_is_stored", "stripe_money_is_known"}},
	}
}

// plantAll makes sure that what each bug is caught by is silent without it, then plants the bugs, one at a time.
func plantAll(ctx context.Context, o options, out io.Writer) (failed bool, err error) {
	dir, err := os.MkdirTemp("", "dayof-planted-*")
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
	runs := plantedRuns
	if o.runs > 1 {
		runs = o.runs
	}
	for _, b := range bugs() {
		if o.only != "" && o.only != b.name {
			continue
		}
		c := base
		b.suffer(&c)
		c.Program = sound
		bad, err := once(ctx, c, out)
		if err != nil {
			return true, err
		}
		c.Patience = plantedPatience
		if c.Program, err = plant(ctx, dir, b, out); err != nil {
			return true, err
		}
		caught, err := hunt(ctx, c, b, runs, out)
		if err != nil {
			return true, err
		}
		failed = failed || bad || caught < runs
		fmt.Fprintf(out, "%s: caught %d of %d; the sound one is clean: %t\n", b.name, caught, runs, !bad)
	}
	return failed, nil
}

// hunt runs the program with a bug, each time with another seed, and counts the runs that told of it.
func hunt(ctx context.Context, c chaos.Config, b bug, runs int, out io.Writer) (caught int, err error) {
	for i := range runs {
		if i > 0 {
			c.Seed++
		}
		r, took, err := hold(ctx, c)
		if err != nil {
			return caught, fmt.Errorf("%s, seed %d: %w", b.name, c.Seed, err)
		}
		told := map[string]int{}
		for _, v := range r.Violations {
			rule, _, _ := strings.Cut(v, ": ")
			told[rule]++
		}
		by := slices.DeleteFunc(slices.Clone(b.rules), func(rule string) bool { return told[rule] == 0 })
		if len(by) > 0 {
			caught++
		}
		fmt.Fprintf(out, "%s, seed %d: caught by %v; all that was told: %v, in %v\n", b.name, c.Seed, by, told, took)
	}
	return caught, nil
}

// plant builds the program with a bug: the patch is applied to copies of the files that it names, which the compiler then
// takes instead of those of the tree. A patch that does not fit any more is an error.
func plant(ctx context.Context, dir string, b bug, out io.Writer) (program string, err error) {
	patch, err := patches.ReadFile("mutations/" + b.name + ".patch")
	if err != nil {
		return "", err
	}
	room := filepath.Join(dir, b.name)
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
		replaced[original] = filepath.Join(room, name)
		if err := copyFile(original, replaced[original]); err != nil {
			return "", fmt.Errorf("mutations/%s.patch: %w", b.name, err)
		}
	}
	apply := exec.CommandContext(ctx, "git", "apply", "-p0", "-")
	apply.Dir, apply.Stdin, apply.Stdout, apply.Stderr = room, bytes.NewReader(patch), out, out
	// Not the repository around: the copies are what it shall be applied to.
	apply.Env = append(os.Environ(), "GIT_CEILING_DIRECTORIES="+dir)
	if err := apply.Run(); err != nil {
		return "", fmt.Errorf("mutations/%s.patch does not fit the tree: %w", b.name, err)
	}
	overlay, err := json.Marshal(map[string]any{"Replace": replaced})
	if err != nil {
		return "", err
	}
	if err := os.WriteFile(room+".json", overlay, 0o600); err != nil {
		return "", err
	}
	program = filepath.Join(dir, b.name+".bin")
	return program, build(ctx, program, out, "-overlay", room+".json")
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
