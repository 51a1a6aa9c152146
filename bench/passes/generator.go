package main

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/dayof/dayof/internal/chassis/clock"
	"github.com/dayof/dayof/passsvc/pkpass"
)

// What passkit-generator is measured by, as figures are named.
const (
	theirPasses = "passkit-generator passes/s"
	theirBytes  = "passkit-generator bytes"
)

// generatorSource is where package.json and the program are, from the root of the module.
const generatorSource = "bench/passes/generator"

// prepareGenerator installs passkit-generator exactly as package-lock.json says, lays the files of one of our passes before
// it, and has it make a pass that iOS would accept.
func (b *bench) prepareGenerator(ctx context.Context) error {
	copies := map[string]string{ // by where it comes from
		filepath.Join(generatorSource, "package.json"): "", filepath.Join(generatorSource, "package-lock.json"): "",
		filepath.Join(generatorSource, "generator.mjs"): "",
		"passsvc/testdata/plain.pass.json.golden":       "pass.json",
	}
	images, err := filepath.Glob("passsvc/artwork/*.png")
	if err != nil {
		return err
	}
	for _, image := range images {
		copies[image] = ""
	}
	for _, language := range []string{"de", "en", "es", "fr", "it", "nl"} {
		folder := filepath.Join(b.dir, language+".lproj")
		if err := os.Mkdir(folder, 0o700); err != nil {
			return err
		}
		// All languages are about as long as this one.
		if err := copyFile("passsvc/testdata/plain.de.strings.golden", filepath.Join(folder, "pass.strings")); err != nil {
			return err
		}
	}
	for from, to := range copies {
		if to == "" {
			to = filepath.Base(from)
		}
		if err := copyFile(from, filepath.Join(b.dir, to)); err != nil {
			return err
		}
	}
	if err := b.writeCertificates(); err != nil {
		return err
	}
	install := exec.CommandContext(ctx, "npm", "ci", "--no-audit", "--no-fund", "--loglevel=error")
	install.Dir, install.Stdout, install.Stderr = b.dir, b.errOut, b.errOut
	if err := install.Run(); err != nil {
		return fmt.Errorf("npm ci (Debian: apt-get install nodejs npm): %w", err)
	}
	if _, err := b.generate(ctx, 0); err != nil {
		return err
	}
	pass, err := os.ReadFile(filepath.Join(b.dir, "theirs.pkpass"))
	if err != nil {
		return err
	}
	for _, finding := range pkpass.Verify(pass, pkpass.VerifyOptions{Now: clock.System{}.Now()}).Findings {
		// Its dates have fractions of a second, which costs it no time.
		if finding.Severity == pkpass.Refused && !strings.Contains(finding.Message, "fractions of a second") {
			return fmt.Errorf("passkit-generator makes no good pass here: %s", finding)
		}
	}
	return nil
}

func copyFile(from, to string) error {
	text, err := os.ReadFile(filepath.Clean(from))
	if err != nil {
		return fmt.Errorf("%w; run this from the root of the module", err)
	}
	return os.WriteFile(to, text, 0o600) //nolint:gosec // into a temporary folder of ours
}

// writeCertificates makes a chain of the shape and the key size of ours.
func (b *bench) writeCertificates() error {
	chain, err := pkpass.NewThrowawayChain(clock.System{}.Now(), pkpass.ThrowawayOptions{})
	if err != nil {
		return err
	}
	bundle := chain.Bundle
	for _, name := range []string{"key.pem", "certificate.pem", "wwdr.pem"} { // the order of a bundle
		var block *pem.Block
		if block, bundle = pem.Decode(bundle); block == nil {
			return errors.New("the bundle is too short")
		}
		if err := os.WriteFile(filepath.Join(b.dir, name), pem.EncodeToMemory(block), 0o600); err != nil {
			return err
		}
	}
	return nil
}

type generated struct {
	PassesPerSecond float64 `json:"passes_per_second"`
	Bytes           float64 `json:"bytes"`
}

// generate lets passkit-generator make passes on the core for some seconds.
func (b *bench) generate(ctx context.Context, seconds int) (generated, error) {
	cmd := exec.CommandContext(ctx, "taskset", "-c", b.core, "node", "generator.mjs", b.dir, strconv.Itoa(seconds))
	cmd.Dir, cmd.Stderr = b.dir, b.errOut
	output, err := cmd.Output()
	if err != nil {
		return generated{}, fmt.Errorf("passkit-generator: %w", err)
	}
	var g generated
	if err := json.Unmarshal(bytes.TrimSpace(output), &g); err != nil {
		return g, fmt.Errorf("passkit-generator prints %q: %w", output, err)
	}
	return g, nil
}

// theirs is a round of passkit-generator.
func (b *bench) theirs(ctx context.Context) error {
	g, err := b.generate(ctx, b.seconds)
	if err != nil {
		return err
	}
	b.note(theirPasses, g.PassesPerSecond)
	b.note(theirBytes, g.Bytes)
	return nil
}
