package passsvc

import (
	"fmt"
	"sync"
	"time"
	_ "time/tzdata" // machines without a time zone database, as containers are
)

// zoneCache keeps time zones, which the standard library reads from files each time. There are some hundreds at most.
// The zero value is ready to use.
type zoneCache struct{ zones sync.Map } // *time.Location by name

// load returns an IANA time zone.
func (c *zoneCache) load(name string) (*time.Location, error) {
	if known, ok := c.zones.Load(name); ok {
		if zone, ok := known.(*time.Location); ok {
			return zone, nil
		}
	}
	if name == "Local" { // the machine's own, whatever that is
		return nil, fmt.Errorf("unknown time zone %s", name)
	}
	zone, err := time.LoadLocation(name)
	if err != nil {
		return nil, err
	}
	c.zones.Store(name, zone)
	return zone, nil
}
