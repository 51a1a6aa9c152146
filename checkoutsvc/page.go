package checkoutsvc

import (
	"encoding/base64"
	"encoding/json"
	"time"

	"github.com/dayof/dayof/internal/chassis/problem"
)

// cursor is the place of a row in a list that is sorted by time and id; a page token is one, made opaque.
type cursor struct {
	List string    `json:"l"` // which list it was made for
	Time time.Time `json:"t"`
	ID   string    `json:"i"`
}

func (c cursor) token() string {
	b, err := json.Marshal(c)
	if err != nil {
		panic("a cursor cannot be written: " + err.Error())
	}
	return base64.RawURLEncoding.EncodeToString(b)
}

// readCursor reads a page token of list; an empty one is the given start.
func readCursor(token, list string, start cursor) (cursor, error) {
	if token == "" {
		return start, nil
	}
	b, err := base64.RawURLEncoding.DecodeString(token)
	var c cursor
	if err == nil {
		err = json.Unmarshal(b, &c)
	}
	if err != nil || c.List != list || c.Time.Year() < 1 || c.Time.Year() > 9999 {
		return cursor{}, problem.InvalidField("page_token", "is not a token of this list; start again without one")
	}
	return c, nil
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
