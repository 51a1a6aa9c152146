package wire

import "time"

// Cursor is where a page ended of a list that is sorted by time and id.
type Cursor struct {
	Time time.Time `json:"t"`
	ID   string    `json:"i"`
}

// EndOfTime is later than any row's time.
var EndOfTime = time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)

// pageSizeDefault is the size of a page when the request does not say.
const pageSizeDefault = 50

// PageSize is the size that was asked for, or the default.
func PageSize(asked int32) int32 {
	if asked == 0 {
		return pageSizeDefault
	}
	return asked
}
