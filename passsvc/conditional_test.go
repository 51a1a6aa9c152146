package passsvc

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// FuzzNotModified compares our rules with those of the standard library's file server, which has no opinion on
// repeated dates.
func FuzzNotModified(f *testing.F) {
	modified := time.Date(2026, 11, 3, 18, 30, 0, 0, time.UTC)
	const etag = `"3-abc"`
	for _, seed := range [][2]string{
		{"", ""},
		{etag, ""},
		{"W/" + etag, modified.Format(http.TimeFormat)},
		{`"a", ` + etag, ""},
		{"*", ""},
		{"", modified.Format(http.TimeFormat)},
		{"", modified.Format(time.ANSIC)},
		{"", "(null)"},
		{`"a"`, modified.Add(time.Hour).Format(http.TimeFormat)},
		{`"a" "3-abc"`, ""},
		{`"a",,` + etag, ""},
	} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, noneMatch, since string) {
		if strings.ContainsAny(noneMatch+since, "\r\n") {
			return // no header has these
		}
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		if noneMatch != "" {
			r.Header.Set("If-None-Match", noneMatch)
		}
		if since != "" {
			r.Header.Set("If-Modified-Since", since)
		}
		w := httptest.NewRecorder()
		w.Header().Set("Etag", etag)
		http.ServeContent(w, r, "", modified, strings.NewReader("x"))
		if got, want := notModified(r.Header, etag, modified), w.Code == http.StatusNotModified; got != want {
			t.Errorf("If-None-Match %q, If-Modified-Since %q: %v, the standard library says %v", noneMatch, since, got, want)
		}
	})
}
