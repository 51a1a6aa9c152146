package ledgersvc

import "time"

// entryPosition is where a page ended of a list in the order of the ledger's numbers.
type entryPosition struct {
	TransactionID int64 `json:"t"`
	Position      int16 `json:"p"` // of the posting within the transaction
}

// beforeEntries is before every posting.
var beforeEntries = entryPosition{Position: -1}

// timePosition is where a page ended of a list in the order of time and the ledger's numbers.
type timePosition struct {
	Time          time.Time `json:"t"`
	TransactionID int64     `json:"i"`
}
