package ledger

import (
	"sync"

	"github.com/dayof/dayof/devenv/sandbox/ledger/numscript"
)

// programsMax bounds the cache. Templates are few; a client that makes a new
// text for every call gains nothing and costs little.
const programsMax = 256

// programCache keeps compiled scripts by their text. The zero value is ready.
type programCache struct {
	mu       sync.Mutex
	programs map[string]*numscript.Program
}

func (c *programCache) parse(text string) (*numscript.Program, error) {
	c.mu.Lock()
	program, ok := c.programs[text]
	c.mu.Unlock()
	if ok {
		return program, nil
	}
	program, err := numscript.Parse(text)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.programs == nil || len(c.programs) >= programsMax {
		c.programs = make(map[string]*numscript.Program)
	}
	c.programs[text] = program
	return program, nil
}
