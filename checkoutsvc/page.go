package checkoutsvc

import "time"

// cursor is where a page ended of a list that is sorted by time and id.
type cursor struct {
	Time time.Time `json:"t"`
	ID   string    `json:"i"`
}

// endOfTime is later than any row's time.
var endOfTime = time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)

// pageSize is the size that was asked for, or the default.
func pageSize(asked int32) int32 {
	if asked == 0 {
		return 50
	}
	return asked
}
