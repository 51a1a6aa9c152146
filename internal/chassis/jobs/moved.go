package jobs

import "github.com/dayof/dayof/internal/chassis/alert"

// Alert is alert.Alert.
type Alert = alert.Alert

// Execer is alert.Execer.
type Execer = alert.Execer

// RaiseAlert is alert.Raise, and ResolveAlert is alert.Resolve.
var (
	RaiseAlert   = alert.Raise
	ResolveAlert = alert.Resolve
)
