package cluster

import (
	"bytes"
	"fmt"
	"os"
	"syscall"
)

// childAttributes have a child die with its parent, also when that is killed.
func childAttributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }

// isStopped reports whether a process was stopped by a signal.
func isStopped(pid int) (bool, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false, err
	}
	// The state follows the name, which stands in parentheses and may hold anything.
	return bytes.HasPrefix(stat[bytes.LastIndexByte(stat, ')')+1:], []byte(" T")), nil
}
