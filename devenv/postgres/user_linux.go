package postgres

import (
	"context"
	"os"
	"os/user"
	"strconv"
	"syscall"
)

// Postgres refuses to run as root, and as a user without a name (a container
// with --user 12345). Everybody else just runs it. For these two the children
// run in a user namespace in which our id is that of nobody: to the file system
// they are still us, so any data directory of ours will do, but without root's
// powers. Containers often forbid user namespaces; there root's children run as
// nobody outright, and their data must lie where nobody can reach it: below
// /var/tmp.
//
// unprivilegedID is nobody's.
const unprivilegedID = 65534

// identity is as whom the children run.
type identity int

const (
	asOurselves identity = iota
	inUserNamespace
	asNobody
)

// chooseIdentity finds out whether user namespaces are allowed by using one.
func chooseIdentity(ctx context.Context) identity {
	_, err := user.LookupId(strconv.Itoa(os.Geteuid()))
	if os.Geteuid() != 0 && err == nil {
		return asOurselves
	}
	if _, err := run(ctx, inUserNamespace, "/bin/sh", "-c", ":"); err == nil {
		return inUserNamespace
	}
	if os.Geteuid() != 0 {
		return asOurselves // initdb will say what is missing
	}
	return asNobody
}

// attributes make a child die with its parent, out of reach of the terminal's
// Ctrl-C (the parent stops it in order), as the identity wants it.
func (i identity) attributes() *syscall.SysProcAttr {
	attributes := &syscall.SysProcAttr{Pdeathsig: immediateShutdown, Setpgid: true}
	switch i {
	case inUserNamespace:
		attributes.Cloneflags = syscall.CLONE_NEWUSER
		attributes.UidMappings = []syscall.SysProcIDMap{{ContainerID: unprivilegedID, HostID: os.Geteuid(), Size: 1}}
		attributes.GidMappings = []syscall.SysProcIDMap{{ContainerID: unprivilegedID, HostID: os.Getegid(), Size: 1}}
	case asNobody:
		attributes.Credential = &syscall.Credential{Uid: unprivilegedID, Gid: unprivilegedID}
	case asOurselves:
	}
	return attributes
}
