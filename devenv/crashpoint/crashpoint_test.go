package crashpoint_test

import (
	"errors"
	"io"
	"os"
	"os/exec"
	"syscall"
	"testing"

	"github.com/dayof/dayof/devenv/crashpoint"
	"github.com/dayof/dayof/internal/chassis/crash"
)

// TestMain is also the process that dies.
func TestMain(m *testing.M) {
	if setting := os.Getenv("CRASH_TEST_SETTING"); setting != "" {
		if err := crashpoint.Arm(setting); err != nil {
			os.Exit(2)
		}
		for range 3 {
			crash.At(crash.CheckoutAttemptBegun)
			_, _ = os.Stdout.WriteString("alive\n")
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// TestStop stops a process at its second pass and lets it go on: nothing is lost, and it stops only once.
func TestStop(t *testing.T) {
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), "CRASH_TEST_SETTING=stop@"+crashpoint.Name(crash.CheckoutAttemptBegun)+":2")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var status syscall.WaitStatus
	if _, err := syscall.Wait4(cmd.Process.Pid, &status, syscall.WUNTRACED, nil); err != nil {
		t.Fatal(err)
	}
	if !status.Stopped() {
		t.Fatalf("the process did not stop: %v", status)
	}
	before := make([]byte, 100)
	n, err := out.Read(before)
	if err != nil || string(before[:n]) != "alive\n" {
		t.Errorf("before it stopped it printed %q, %v", before[:n], err)
	}
	if err := cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	after, err := io.ReadAll(out)
	if err != nil || string(after) != "alive\nalive\n" {
		t.Errorf("when it went on it printed %q, %v", after, err)
	}
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
}

func TestAt(t *testing.T) {
	tests := map[string]struct {
		setting string
		lines   string
		killed  bool
		code    int
	}{
		"first pass":    {crashpoint.Name(crash.CheckoutAttemptBegun), "", true, -1},
		"former name":   {"checkout/walk/begun:2", "alive\n", true, -1},
		"third pass":    {crashpoint.Name(crash.CheckoutAttemptBegun) + ":3", "alive\nalive\n", true, -1},
		"another point": {crashpoint.Name(crash.PassIssued), "alive\nalive\nalive\n", false, 0},
		"no such point": {"checkout/nowhere", "", false, 2},
		"no such count": {crashpoint.Name(crash.CheckoutAttemptBegun) + ":0", "", false, 2},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			cmd := exec.CommandContext(t.Context(), os.Args[0])
			cmd.Env = append(os.Environ(), "CRASH_TEST_SETTING="+test.setting)
			out, err := cmd.Output()
			killed := false
			if exit, ok := errors.AsType[*exec.ExitError](err); ok {
				status, _ := exit.Sys().(syscall.WaitStatus)
				killed = status.Signaled() && status.Signal() == syscall.SIGKILL
			}
			if string(out) != test.lines || killed != test.killed || cmd.ProcessState.ExitCode() != test.code {
				t.Errorf("printed %q, killed %v, exit %d; want %q, %v, %d", out, killed, cmd.ProcessState.ExitCode(), test.lines, test.killed, test.code)
			}
		})
	}
}

// TestNames wants a name for every point, and each once.
func TestNames(t *testing.T) {
	seen := map[string]bool{}
	for p := crash.CheckoutStartWritten; p <= crash.PassPushed; p++ {
		seen[crashpoint.Name(p)] = true
	}
	if len(seen) != int(crash.PassPushed) || len(crashpoint.Names()) != len(seen) {
		t.Errorf("%d points have %d names, and %d are listed", crash.PassPushed, len(seen), len(crashpoint.Names()))
	}
}
