// Package contract replays golden transcripts of the Formance Ledger API
// against a running server and reports every difference.
//
// It is the replayer that came with the transcripts ("replay", in one file,
// standard library only), cut into a package so that tests can run it in
// process. What it accepts is unchanged.
//
// Placeholders in a recorded response:
//
//	<any>            anything, including null
//	<string> <int>   any non-empty string / any integer
//	<hash>           non-empty base64 string
//	<time:N>         RFC 3339 UTC time; the same N is the same instant within a scenario
//	<txid:N>         integer transaction id; same N same id, other N other id
//	<txid:N=7>       the same, and it must be exactly 7
//	<txidstr:N>      the same id as a decimal string
//	<logid:N>        integer log id, like <txid:N>
//	<cursor:N>       opaque non-empty string, usable later as {cursor:N}
//	<re:PATTERN>     string matching the regular expression
//	<absent>         (headers only) the header is not set
//
// Placeholders in a request: {ledger}, {txid:N}, {cursor:N}, and {i} in parallel
// steps. A JSON string that is exactly "{txid:N}" is sent as a number.
package contract

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"sort"
	"strings"
	"time"
)

// Options say what to replay, and how strictly.
type Options struct {
	Base           string         // of the API, without /v2
	Run            *regexp.Regexp // only these scenarios; nil for all
	StrictMessages bool           // compare error texts too
	LooseTime      bool           // only check the format of times
	Verbose        bool           // print passing steps too
	Timeout        time.Duration  // per request; default 60 s
}

// Totals count steps.
type Totals struct{ Passed, Failed int }

type request struct {
	Method  string            `json:"method"`
	Path    string            `json:"path"`
	Headers map[string]string `json:"headers"`
	Body    json.RawMessage   `json:"body"`
	RawBody *string           `json:"rawBody"`
}

type response struct {
	Status   int               `json:"status"`
	Headers  map[string]string `json:"headers"`
	Body     json.RawMessage   `json:"body"`
	BodyText *string           `json:"bodyText"`
}

type expectation struct {
	ByStatus        map[string][2]int `json:"byStatus"`
	ByErrorCode     map[string][2]int `json:"byErrorCode"`
	DistinctIDs     *[2]int           `json:"distinctIds"`
	IdempotencyHits *[2]int           `json:"idempotencyHits"`
}

type parallelStep struct {
	Count   int         `json:"count"`
	Request request     `json:"request"`
	Expect  expectation `json:"expect"`
}

type step struct {
	Name     string        `json:"name"`
	Request  *request      `json:"request"`
	Response *response     `json:"response"`
	Parallel *parallelStep `json:"parallel"`
}

type scenario struct {
	Scenario     string `json:"scenario"`
	CreateLedger bool   `json:"createLedger"`
	Steps        []step `json:"steps"`
}

// Replay runs the scenarios in the files and folders, each on a fresh ledger,
// and writes one line per failed step with its differences, one per scenario,
// and last "N passed, N failed".
func Replay(ctx context.Context, out io.Writer, options Options, paths ...string) (Totals, error) {
	files, err := scenarioFiles(paths)
	if err != nil {
		return Totals{}, err
	}
	if options.Timeout == 0 {
		options.Timeout = time.Minute
	}
	client := &http.Client{Timeout: options.Timeout, Transport: &http.Transport{MaxIdleConnsPerHost: 16}}
	defer client.CloseIdleConnections()
	var totals Totals
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			return totals, err
		}
		var sc scenario
		if err := json.Unmarshal(data, &sc); err != nil {
			return totals, fmt.Errorf("%s: %w", file, err)
		}
		if options.Run != nil && !options.Run.MatchString(sc.Scenario) {
			continue
		}
		r := &runner{
			base: strings.TrimRight(options.Base, "/"), client: client, options: options,
			ledger: "g" + strings.ToLower(rand.Text()[:16]), bound: map[string]string{}, used: map[string]string{},
		}
		r.scenario(ctx, out, sc, &totals)
	}
	fmt.Fprintf(out, "%d passed, %d failed\n", totals.Passed, totals.Failed)
	return totals, nil
}

func scenarioFiles(paths []string) ([]string, error) {
	var files []string
	for _, path := range paths {
		info, err := os.Stat(path)
		if err != nil {
			return nil, err
		}
		if !info.IsDir() {
			files = append(files, path)
			continue
		}
		found, err := filepath.Glob(filepath.Join(path, "*.json"))
		if err != nil {
			return nil, err
		}
		sort.Strings(found)
		files = append(files, found...)
	}
	return files, nil
}

// differencesMax is how many differences of a step are printed.
const differencesMax = 12

func (r *runner) scenario(ctx context.Context, out io.Writer, sc scenario, totals *Totals) {
	if sc.CreateLedger {
		create, err := r.prepare(ctx, &request{Method: http.MethodPost, Path: "/v2/{ledger}"}, "")
		if err != nil {
			panic(err)
		}
		if got := create(); got.err != nil || got.status != http.StatusNoContent {
			fmt.Fprintf(out, "FAIL %s: cannot create a ledger: %d %s %v\n", sc.Scenario, got.status, firstPart(got.body), got.err)
			totals.Failed += len(sc.Steps)
			return
		}
	}
	passed := 0
	for i := range sc.Steps {
		s := &sc.Steps[i]
		var differences []string
		if s.Parallel != nil {
			differences = r.parallel(ctx, s.Parallel)
		} else {
			differences = r.single(ctx, s)
		}
		if len(differences) == 0 {
			passed++
			if r.options.Verbose {
				fmt.Fprintf(out, "ok   %s / %d %s\n", sc.Scenario, i+1, s.Name)
			}
			continue
		}
		fmt.Fprintf(out, "FAIL %s / %d %s\n", sc.Scenario, i+1, s.Name)
		if len(differences) > differencesMax {
			differences = append(differences[:differencesMax], fmt.Sprintf("... and %d more differences", len(differences)-differencesMax))
		}
		for _, line := range differences {
			fmt.Fprintln(out, "       "+line)
		}
	}
	totals.Passed += passed
	totals.Failed += len(sc.Steps) - passed
	outcome := "ok  "
	if passed != len(sc.Steps) {
		outcome = "FAIL"
	}
	fmt.Fprintf(out, "%s %s: %d/%d\n", outcome, sc.Scenario, passed, len(sc.Steps))
}
