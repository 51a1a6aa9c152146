package passsvc

import (
	"net/http"
	"strings"
	"time"
)

// lastModified is the time to send for content that was modified at modified: never in the future (RFC 9110, 8.8.2.1).
// A batch of quick changes runs ahead of the clock; for as long, devices are given an earlier time, and at worst they fetch
// once more than they need.
func lastModified(modified, now time.Time) time.Time {
	if now = now.UTC().Truncate(time.Second); now.Before(modified) {
		return now
	}
	return modified
}

// notModified decides whether a GET or HEAD is answered 304 (RFC 9110, 13.2.2): If-None-Match alone when it is there,
// by weak comparison; else If-Modified-Since, against the true time of modification.
func notModified(h http.Header, etag string, modified time.Time) bool {
	if values, ok := h["If-None-Match"]; ok {
		return matchesTag(strings.Join(values, ","), etag)
	}
	// A repeated or malformed date is as good as none.
	values := h["If-Modified-Since"]
	if len(values) != 1 {
		return false
	}
	since, err := http.ParseTime(values[0])
	return err == nil && !modified.After(since)
}

// matchesTag searches for etag in a list of entity tags, or for "*". What follows a malformed tag is ignored.
func matchesTag(list, etag string) bool {
	opaque := strings.TrimPrefix(etag, "W/")
	for {
		list = strings.TrimLeft(list, " \t,")
		if strings.HasPrefix(list, "*") {
			return true
		}
		list = strings.TrimPrefix(list, "W/")
		if !strings.HasPrefix(list, `"`) {
			return false
		}
		end := strings.IndexByte(list[1:], '"')
		if end < 0 || strings.ContainsFunc(list[1:end+1], func(r rune) bool { return r <= ' ' || r == 0x7f }) {
			return false
		}
		if list[:end+2] == opaque {
			return true
		}
		list = list[end+2:]
	}
}
