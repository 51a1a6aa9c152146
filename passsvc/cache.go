package passsvc

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/maypok86/otter/v2"
	"golang.org/x/sync/singleflight"

	"github.com/dayof/dayof/internal/chassis/clock"
	"github.com/dayof/dayof/passsvc/passdb"
	"github.com/dayof/dayof/passsvc/pkpass"
)

const (
	// freshFor is how old the knowledge of what changed may be when a pass is served from memory. Pushes wait longer
	// than this after the commit of what they announce (pushWaitMin), so a device that fetches because of a push always
	// gets the new revision, from every replica.
	freshFor = 5 * time.Millisecond
	// fetchTimeout bounds the query for what changed.
	fetchTimeout = 5 * time.Second
	// changedMax is how many changed passes are looked up at once; when there are more, all of their type are dropped.
	changedMax = 1000
	// entryOverhead is about what an entry takes besides its archive: content, headers, strings and the cache's own.
	entryOverhead = 4 << 10
)

// servedPass is a pass as it is served now.
type servedPass struct {
	state   revisionState
	etag    string
	archive pkpass.Archive
	// header is what every answer about it says, and bodyHeader what one with the archive says besides. Answers share
	// them: they are never changed.
	header, bodyHeader http.Header
}

// passCache keeps built archives in memory, within a limit.
//
// What is in it is true because update tags become visible in their order: per pass type it knows the tag up to which
// it has heard of all changes, and asks for later ones when that knowledge is older than freshFor. One small query then
// stands for any number of reads. It reads only, so it works under a role that may not write.
type passCache struct {
	s       *Service
	clock   clock.Clock // the machine's, also in tests: freshness is about real time
	loads   singleflight.Group
	entries *otter.Cache[string, cacheEntry] // by serial, limited by weight; nil keeps nothing

	mu    sync.Mutex // of types, and held when entries are added or dropped
	types map[string]*typeFreshness
}

type cacheEntry struct {
	pass        servedPass
	fingerprint string // of the certificate
}

// typeFreshness is what is known of the changes of a pass type.
type typeFreshness struct {
	started bool      // tag is known
	tag     int64     // all changes up to here have been heard of
	checked time.Time // since when tag is known to be the newest; zero: fetch again
	touched int64     // counts touch, so that a fetch that began before one does not count as fresh
}

func newPassCache(s *Service) (*passCache, error) {
	c := &passCache{s: s, clock: clock.System{}, types: map[string]*typeFreshness{}}
	if s.Config.CacheBytes <= 0 {
		return c, nil
	}
	entries, err := otter.New(&otter.Options[string, cacheEntry]{
		MaximumWeight: uint64(s.Config.CacheBytes),
		Weigher:       func(_ string, e cacheEntry) uint32 { return e.bytes() },
	})
	if err != nil {
		return nil, fmt.Errorf("make the cache of passes: %w", err)
	}
	c.entries = entries
	return c, nil
}

// errNoPass says that there is no such pass. Devices do not learn it.
var errNoPass = errors.New("no such pass")

// get returns the pass as it is now, with its archive. Errors: errNoPass, and that nothing can be signed for the pass
// type now.
func (c *passCache) get(ctx context.Context, passType, serial string) (servedPass, error) {
	certificate, err := c.s.certificates.signer(passType)
	if err != nil {
		return servedPass{}, err
	}
	known, err := c.refresh(ctx, passType)
	if err != nil {
		return servedPass{}, err
	}
	if pass, ok := c.lookup(passType, serial, certificate); ok {
		return pass, nil
	}
	// Readers of one pass wait for one signature; not those who know of a change since it was begun. The first one's
	// hanging up does not disappoint the others.
	key := serial + "\x00" + certificate.Fingerprint + "\x00" + strconv.FormatInt(known.tag, 10)
	loaded, err, _ := c.loads.Do(key, func() (any, error) {
		return c.load(context.WithoutCancel(ctx), passType, serial, certificate, known)
	})
	if err != nil {
		return servedPass{}, err
	}
	pass, ok := loaded.(servedPass)
	if !ok {
		panic("passsvc: the cache loaded something else than a pass")
	}
	return pass, nil
}

func (c *passCache) lookup(passType, serial string, certificate *pkpass.Certificate) (servedPass, bool) {
	if c.entries == nil {
		return servedPass{}, false
	}
	entry, ok := c.entries.GetIfPresent(serial)
	if !ok || entry.fingerprint != certificate.Fingerprint || entry.pass.state.PassType != passType {
		return servedPass{}, false
	}
	return entry.pass, true
}

// load reads and builds a pass, and keeps it if nothing of its type changed since known.
func (c *passCache) load(
	ctx context.Context, passType, serial string, certificate *pkpass.Certificate, known typeFreshness,
) (servedPass, error) {
	row, err := c.s.q.GetPass(ctx, c.s.Pool, serial)
	if errors.Is(err, pgx.ErrNoRows) || err == nil && row.PassType != passType {
		return servedPass{}, errNoPass
	}
	if err != nil {
		return servedPass{}, fmt.Errorf("get pass: %w", err)
	}
	pass, err := c.build(row, certificate)
	if err != nil {
		return servedPass{}, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.freshness(passType)
	if c.entries != nil && now.tag == known.tag && now.touched == known.touched {
		c.entries.Set(serial, cacheEntry{pass: pass, fingerprint: certificate.Fingerprint})
	}
	return pass, nil
}

func (c *passCache) build(row passdb.Pass, certificate *pkpass.Certificate) (servedPass, error) {
	state, err := stateOf(row)
	if err != nil {
		return servedPass{}, err
	}
	archive, err := c.s.renderer.archive(state, certificate)
	if err != nil {
		return servedPass{}, fmt.Errorf("build pass %s: %w", row.Serial, err)
	}
	c.s.metrics.archives.Inc()
	etag := c.s.renderer.etag(state, certificate)
	return servedPass{
		state: state, etag: etag, archive: archive,
		header: http.Header{"Etag": {etag}, "Last-Modified": {state.ModifyTime.UTC().Format(http.TimeFormat)}},
		bodyHeader: http.Header{
			"Content-Type": {passMediaType}, "Content-Length": {strconv.Itoa(archive.Size())},
		},
	}, nil
}

// refresh drops passes that have changed, unless it did so within freshFor, and returns what is known then.
func (c *passCache) refresh(ctx context.Context, passType string) (typeFreshness, error) {
	arrival := c.clock.Now()
	for ctx.Err() == nil {
		c.mu.Lock()
		known := *c.freshness(passType)
		c.mu.Unlock()
		// A fetch that began after the arrival will do, however long it took; one far later means that the clock was
		// set back.
		if age := arrival.Sub(known.checked); age < freshFor && age > -fetchTimeout {
			return known, nil
		}
		// Whoever joins a fetch that began too early goes round again.
		_, err, _ := c.loads.Do("\x00"+passType, func() (any, error) {
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), fetchTimeout)
			defer cancel()
			return nil, c.fetch(ctx, passType, known)
		})
		if err != nil {
			return typeFreshness{}, err
		}
	}
	return typeFreshness{}, ctx.Err()
}

// fetch asks what changed since the last time.
func (c *passCache) fetch(ctx context.Context, passType string, known typeFreshness) error {
	began := c.clock.Now()
	all := !known.started // nothing is in memory yet
	var changed []passdb.ListChangedSerialsRow
	var err error
	if !all {
		if changed, err = c.s.q.ListChangedSerials(ctx, c.s.Pool, passType, known.tag, changedMax); err != nil {
			return fmt.Errorf("list changed passes: %w", err)
		}
		all = len(changed) == changedMax
	}
	newest := known.tag
	if all {
		if newest, err = c.s.q.GetUpdateTag(ctx, c.s.Pool, passType); err != nil {
			return fmt.Errorf("get update tag: %w", err)
		}
	} else if len(changed) > 0 {
		newest = changed[len(changed)-1].UpdateTag
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.entries != nil {
		if all {
			c.dropType(passType)
		}
		for _, row := range changed {
			c.entries.Invalidate(row.Serial)
		}
	}
	f := c.freshness(passType)
	f.started, f.tag = true, max(f.tag, newest)
	if f.touched == known.touched {
		f.checked = began
	}
	return nil
}

// touch makes the next reader fetch again: something has just been committed here.
func (c *passCache) touch(passType string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f := c.freshness(passType)
	f.checked = time.Time{}
	f.touched++
}

// freshness and dropType are called under the lock.
func (c *passCache) freshness(passType string) *typeFreshness {
	f := c.types[passType]
	if f == nil {
		f = &typeFreshness{}
		c.types[passType] = f
	}
	return f
}

func (c *passCache) dropType(passType string) {
	for serial, entry := range c.entries.All() {
		if entry.pass.state.PassType == passType {
			c.entries.Invalidate(serial)
		}
	}
}

// bytes is what an entry holds by itself; the design's part of archives is shared.
func (e cacheEntry) bytes() uint32 {
	return uint32(entryOverhead + len(e.pass.archive.Own)) // an archive is far smaller than 4 GiB
}
