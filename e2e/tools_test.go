//go:build tools

package e2e

// These tests need programs that `go test ./...` does not: buf, grpcurl and stripe-mock out of tools/, openssl and bash of the
// machine. CI runs them with -tags tools.

import (
	"bytes"
	"context"
	"encoding/json"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/dayof/dayof/devenv/client"
	"github.com/dayof/dayof/e2e/e2etest"
)

// tool returns the path of a tool of tools/, built if need be.
func tool(t *testing.T, name string) string {
	t.Helper()
	// -n prints where the built program is, which starts it faster each time.
	build := exec.Command("go", "tool", "-modfile=tools/"+name+"/go.mod", "-n", name)
	build.Dir = ".."
	out, err := build.Output()
	if err != nil {
		t.Fatalf("build %s: %v", name, err)
	}
	return strings.TrimSpace(string(out))
}

// output runs a program and returns what it prints.
func output(t *testing.T, name string, args ...string) []byte {
	t.Helper()
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(e2etest.Within(t, time.Minute), name, args...)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s %s: %v\n%s%s", filepath.Base(name), strings.Join(args, " "), err, stdout.String(), stderr.String())
	}
	return stdout.Bytes()
}

// firstOutput returns the first message that a program prints of a stream, and ends it.
func firstOutput(t *testing.T, name string, args ...string) []byte {
	t.Helper()
	ctx, cancel := context.WithCancel(e2etest.Within(t, time.Minute))
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	printed, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatalf("start %s: %v", filepath.Base(name), err)
	}
	var message json.RawMessage
	decodeErr := json.NewDecoder(printed).Decode(&message)
	cancel()
	_ = cmd.Wait() // it was ended
	if decodeErr != nil {
		t.Fatalf("%s %s: %v", filepath.Base(name), strings.Join(args, " "), decodeErr)
	}
	return message
}

// TestEachRPCByTools calls every RPC by buf curl in three protocols and by grpcurl, found by reflection, with one key. All
// four give the same answer: a change is made once and then replayed.
func TestEachRPCByTools(t *testing.T) {
	s := newScene(t)
	buf, grpcurl := tool(t, "buf"), tool(t, "grpcurl")
	missing := map[string]bool{}
	for _, m := range methods(t) {
		missing[strings.TrimPrefix(m.path(), "/")] = true
	}
	for _, e := range append(examples(), ticketExamples()...) {
		delete(missing, e.method)
		t.Run(e.method, func(t *testing.T) {
			output := output
			if e.stream {
				output = firstOutput
			}
			token := s.file.OperatorToken
			if e.token != nil {
				token = e.token(s)
			}
			headers := []string{"-H", "Authorization: Bearer " + token, "-H", "Idempotency-Key: tools/" + e.method}
			request, base := e.request(s), s.base(e.method)
			answers := map[string]map[string]any{}
			for _, protocol := range []string{"connect", "grpc", "grpcweb"} {
				args := append([]string{"curl", "--http2-prior-knowledge", "--protocol", protocol, "-d", request}, headers...)
				answers[protocol] = object(t, output(t, buf, append(args, base+"/"+e.method)...))
			}
			host, err := url.Parse(base)
			if err != nil {
				t.Fatal(err)
			}
			args := append([]string{"-plaintext", "-d", maskOfGrpcurl(request)}, headers...)
			answers["grpcurl"] = object(t, output(t, grpcurl, append(args, host.Host, e.method)...))
			if e.learn != nil {
				e.learn(s, answers["connect"])
			}
			for _, answer := range answers {
				for _, path := range e.varies {
					delete(inside(answer, path[:len(path)-1]...), path[len(path)-1])
				}
			}
			for name, answer := range answers {
				if !reflect.DeepEqual(answer, answers["connect"]) {
					t.Errorf("%s answers %v, connect %v", name, answer, answers["connect"])
				}
			}
		})
	}
	for method := range missing {
		t.Errorf("%s has no example", method)
	}
}

// maskOfGrpcurl writes a field mask of one path as grpcurl reads it: as a message, not as the text that it is in JSON.
func maskOfGrpcurl(request string) string {
	return regexp.MustCompile(`"update_mask":"[A-Za-z]+"`).ReplaceAllStringFunc(request, func(mask string) string {
		path := regexp.MustCompile(`[A-Z]`).ReplaceAllStringFunc(mask[len(`"update_mask":`):], func(c string) string { return "_" + strings.ToLower(c) })
		return `"update_mask":{"paths":[` + path + `]}`
	})
}

func object(t *testing.T, text []byte) map[string]any {
	t.Helper()
	var value map[string]any
	if err := json.Unmarshal(text, &value); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	return value
}

// TestReflectionByTools finds services and health by name.
func TestReflectionByTools(t *testing.T) {
	grpcurl := tool(t, "grpcurl")
	for service, base := range map[string]string{
		"dayof.checkout.v1.CheckoutService": shared.File.CheckoutURL, "dayof.pass.v1.PassService": shared.File.PassURL,
		"dayof.ledger.v1.LedgerService": shared.File.LedgerURL, "dayof.webhook.v1.WebhookService": shared.File.WebhookURL,
	} {
		host := strings.TrimPrefix(base, "http://")
		if listed := string(output(t, grpcurl, "-plaintext", host, "list")); !strings.Contains(listed, service) || !strings.Contains(listed, "grpc.health.v1.Health") {
			t.Errorf("%s lists %s", host, listed)
		}
		health := object(t, output(t, grpcurl, "-plaintext", "-d", `{"service":"`+service+`"}`, host, "grpc.health.v1.Health/Check"))
		if health["status"] != "SERVING" {
			t.Errorf("%s is %v", service, health)
		}
	}
}

// TestPassByTools lets openssl verify the signature of a pass.
func TestPassByTools(t *testing.T) {
	system := client.NewClient(shared.File)
	variant := e2etest.NewVariant(t, system, 4450, 10)
	sale, err := system.Sell(e2etest.Within(t, time.Minute), client.Purchase{VariantID: variant.GetId(), Tickets: 1, Via: client.ViaBoth})
	if err != nil {
		t.Fatal(err)
	}
	archive, _ := fetchPass(t, shared.File, sale.Tickets[0], "")
	dir := t.TempDir()
	for name, content := range unzip(t, archive) {
		if name == "manifest.json" || name == "signature" {
			if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	verify := []string{
		"cms", "-verify", "-binary", "-inform", "DER", "-in", filepath.Join(dir, "signature"),
		"-content", filepath.Join(dir, "manifest.json"), "-CAfile", shared.File.PassCAFile, "-out", os.DevNull,
	}
	output(t, "openssl", verify...)
	if err := os.WriteFile(filepath.Join(dir, "manifest.json"), []byte(`{"pass.json":"00"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := exec.CommandContext(t.Context(), "openssl", verify...).Run(); err == nil {
		t.Error("openssl accepts another manifest")
	}
}

// shellBlock finds the commands of a page that a reader would type.
var shellBlock = regexp.MustCompile("(?s)```sh calls\n(.*?)```")

// TestReadmeByTools runs the calls that the README shows, against a running cluster.
func TestReadmeByTools(t *testing.T) {
	text, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	m := e2etest.NewCluster(t, 1, nil)
	system := client.NewClient(m.File)
	if _, err := system.Sell(e2etest.Within(t, time.Minute), client.Purchase{VariantID: e2etest.NewVariant(t, system, 4450, 10).GetId(), Tickets: 1, Via: client.ViaBoth}); err != nil {
		t.Fatal(err)
	}
	devFile := filepath.Join(t.TempDir(), "dev.json")
	if err := client.WriteFile(devFile, m.File); err != nil {
		t.Fatal(err)
	}
	places := strings.NewReplacer(
		".dayof/dev.json", devFile,
		"127.0.0.1:8289", strings.TrimPrefix(m.File.CheckoutURL, "http://"), "127.0.0.1:8290", strings.TrimPrefix(m.File.PassURL, "http://"),
		"127.0.0.1:8291", strings.TrimPrefix(m.File.LedgerURL, "http://"), "127.0.0.1:8292", strings.TrimPrefix(m.File.WebhookURL, "http://"))
	blocks := shellBlock.FindAllStringSubmatch(string(text), -1)
	if len(blocks) == 0 {
		t.Fatal("the README shows no calls")
	}
	for _, block := range blocks {
		cmd := exec.CommandContext(e2etest.Within(t, 2*time.Minute), "bash", "-euo", "pipefail", "-c", places.Replace(block[1]))
		cmd.Dir = ".."
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%s\n%v\n%s", block[1], err, out)
		}
	}
}
