package ledgersvc

import "time"

// entryPlace is where a page ended of a list in the order of the ledger's numbers.
type entryPlace struct {
	TransactionID int64 `json:"t"`
	Position      int16 `json:"p"` // of the posting within the transaction
}

// beforeEntries is before every posting.
var beforeEntries = entryPlace{Position: -1}

// timePlace is where a page ended of a list that is sorted by time and id.
type timePlace[ID any] struct {
	Time time.Time `json:"t"`
	ID   ID        `json:"i"`
}

// afterAll is after every row of a list that begins with the newest.
var afterAll = timePlace[string]{Time: time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)}
