package schedule

import (
	"testing"

	"github.com/dayof/dayof/e2e/e2etest"
)

func TestMain(m *testing.M) { e2etest.Main(m) }
