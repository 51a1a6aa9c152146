//go:build !linux

package postgres

import (
	"context"
	"syscall"
)

// identity is as whom the children run: elsewhere than on Linux always as
// ourselves, so this process must not be root. A child does not die with a
// parent that is killed hard; the next Start over its data directory ends it.
type identity int

const (
	asOurselves identity = iota
	asNobody             // only on Linux
)

const unprivilegedID = 65534

func chooseIdentity(context.Context) identity { return asOurselves }

func (identity) attributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
