package ledger_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"testing"
	"time"
)

// tester is what helpers shared with rapid properties need of a test.
type tester interface {
	Helper()
	Fatal(args ...any)
	Fatalf(format string, args ...any)
}

// eachRow follows the cursor of a listing to its end.
func eachRow(t tester, a *api, path string, visit func(row map[string]any)) {
	t.Helper()
	base, query, _ := bytes.Cut([]byte(path), []byte("?"))
	values, err := url.ParseQuery(string(query))
	if err != nil {
		t.Fatal(err)
	}
	for {
		got := a.call("GET", string(base)+"?"+values.Encode(), nil)
		if got.status != http.StatusOK {
			t.Fatalf("status %d: %s", got.status, got.text)
		}
		cursor, _ := got.body["cursor"].(map[string]any)
		rows, _ := cursor["data"].([]any)
		for _, row := range rows {
			fields, _ := row.(map[string]any)
			visit(fields)
		}
		next, more := cursor["next"].(string)
		if more != (cursor["hasMore"] == true) {
			t.Fatalf("hasMore %v with next %q", cursor["hasMore"], next)
		}
		if !more {
			return
		}
		values = url.Values{"cursor": {next}}
	}
}

// logLine is an entry of the log, its parts in the bytes that came.
type logLine struct {
	Type string `json:"type"`
	Data struct {
		Transaction         json.RawMessage `json:"transaction"`
		RevertedTransaction *struct {
			ID int64 `json:"id"`
		} `json:"revertedTransaction"`
		AccountMetadata json.RawMessage `json:"accountMetadata"`
		TargetType      json.RawMessage `json:"targetType"`
		TargetID        json.RawMessage `json:"targetId"`
		Metadata        json.RawMessage `json:"metadata"`
		Key             json.RawMessage `json:"key"`
	} `json:"data"`
	Date           json.RawMessage `json:"date"`
	IdempotencyKey json.RawMessage `json:"idempotencyKey"`
	ID             int64           `json:"id"`
	Hash           string          `json:"hash"`
}

// hashed spells out the JSON that the chain covers, key by key.
func (l logLine) hashed() (string, error) {
	var data string
	switch {
	case l.Data.Transaction != nil:
		var tx struct {
			Postings  json.RawMessage `json:"postings"`
			Metadata  json.RawMessage `json:"metadata"`
			Timestamp json.RawMessage `json:"timestamp"`
			Reference json.RawMessage `json:"reference"`
			ID        json.RawMessage `json:"id"`
		}
		if err := json.Unmarshal(l.Data.Transaction, &tx); err != nil {
			return "", err
		}
		reference := ""
		if tx.Reference != nil {
			reference = fmt.Sprintf(`,"reference":%s`, tx.Reference)
		}
		data = fmt.Sprintf(`{"postings":%s,"metadata":%s,"timestamp":%s%s,"id":%s,"reverted":false}`, tx.Postings, tx.Metadata, tx.Timestamp, reference, tx.ID)
		if l.Data.RevertedTransaction != nil {
			data = fmt.Sprintf(`{"revertedTransactionID":%d,"transaction":%s}`, l.Data.RevertedTransaction.ID, data)
		} else {
			data = fmt.Sprintf(`{"transaction":%s,"accountMetadata":%s}`, data, l.Data.AccountMetadata)
		}
	case l.Data.Key != nil:
		data = fmt.Sprintf(`{"targetType":%s,"targetId":%s,"key":%s}`, l.Data.TargetType, l.Data.TargetID, l.Data.Key)
	default:
		data = fmt.Sprintf(`{"targetType":%s,"targetId":%s,"metadata":%s}`, l.Data.TargetType, l.Data.TargetID, l.Data.Metadata)
	}
	return fmt.Sprintf(`{"type":%q,"data":%s,"date":%s,"idempotencyKey":%s,"id":0,"hash":null}`, l.Type, data, l.Date, l.IdempotencyKey), nil
}

// readLog returns the whole log, oldest first.
func readLog(t tester, a *api, path string) []logLine {
	t.Helper()
	var lines []logLine
	query := "pageSize=100"
	for {
		got := a.call("GET", path+"/logs?"+query, nil)
		if got.status != http.StatusOK {
			t.Fatalf("status %d: %s", got.status, got.text)
		}
		var page struct {
			Cursor struct {
				Data []logLine `json:"data"`
				Next string    `json:"next"`
			} `json:"cursor"`
		}
		if err := json.Unmarshal([]byte(got.text), &page); err != nil {
			t.Fatal(err)
		}
		lines = append(lines, page.Cursor.Data...)
		if page.Cursor.Next == "" {
			slices.Reverse(lines)
			return lines
		}
		query = "cursor=" + url.QueryEscape(page.Cursor.Next)
	}
}

// checkChain verifies the log of a ledger from its listing alone, by the formula
// of the real one, and returns how many entries there are.
func checkChain(t tester, a *api, path string) int {
	t.Helper()
	var (
		previous string
		last     int64
	)
	lines := readLog(t, a, path)
	for n, line := range lines {
		text, err := line.hashed()
		if err != nil {
			t.Fatal(err)
		}
		digest := sha256.New()
		if n > 0 {
			fmt.Fprintf(digest, "%q\n", previous)
		}
		fmt.Fprintln(digest, text)
		if want := base64.StdEncoding.EncodeToString(digest.Sum(nil)); line.Hash != want {
			t.Fatalf("log %d has hash %s, want %s of\n%s", line.ID, line.Hash, want, text)
		}
		if line.ID <= last {
			t.Fatalf("log %d after %d", line.ID, last)
		}
		previous, last = line.Hash, line.ID
	}
	return len(lines)
}

// TestLogChain chains what many writers wrote at once while somebody reads.
func TestLogChain(t *testing.T) {
	a := withLedger(t)
	const writers, each = 8, 12
	answers := atOnce(writers+1, func(i int) answer {
		var last answer
		for n := range each {
			if i == writers {
				last = a.call("GET", "/v2/l/logs", nil)
				continue
			}
			body := postings(usd("world", fmt.Sprintf("a:%d", i), 1))
			body["metadata"] = map[string]string{"note": `"<&>" é`}
			body["reference"] = fmt.Sprintf("r-%d-%d", i, n)
			last = a.call("POST", "/v2/l/transactions", body, "Idempotency-Key", fmt.Sprintf("k-%d-%d", i, n))
		}
		return last
	})
	wantTally(t, answers, map[string]int{"200": writers + 1})
	id := "1"
	a.want(http.StatusNoContent, a.call("POST", "/v2/l/transactions/"+id+"/metadata", map[string]string{"k": "v"}))
	a.want(http.StatusNoContent, a.call("POST", "/v2/l/accounts/a:0/metadata", map[string]string{"k": "v"}))
	a.want(http.StatusNoContent, a.call("DELETE", "/v2/l/accounts/a:0/metadata/k", nil))
	a.want(http.StatusNoContent, a.call("DELETE", "/v2/l/transactions/"+id+"/metadata/k", nil))
	a.want(http.StatusCreated, a.call("POST", "/v2/l/transactions/"+id+"/revert", nil))
	if got, want := checkChain(t, a, "/v2/l"), writers*each+5; got != want {
		t.Errorf("%d logs, want %d", got, want)
	}
}

// TestLogWaitsForWriters reads the log while a writer that has drawn a lower id
// than a committed entry is not done: the reader waits, or else that entry
// would never get into the chain.
func TestLogWaitsForWriters(t *testing.T) {
	a := withLedger(t)
	ctx := t.Context()
	holder, err := a.pool.Begin(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := holder.Exec(ctx, `
		insert into logs (ledger_id, id, type, data, date, idempotency_key, idempotency_hash)
		select id, 1000000, 'SET_METADATA', '{}', now(), 'slow', '' from ledgers where name = 'l'`); err != nil {
		t.Fatal(err)
	}
	var group sync.WaitGroup
	group.Go(func() {
		if got := a.call("POST", "/v2/l/transactions", postings(usd("world", "a", 1)), "Idempotency-Key", "slow"); got.status != http.StatusOK {
			t.Errorf("slow writer: %d %s", got.status, got.text)
		}
	})
	a.waitForBlocked(1)
	a.want(http.StatusOK, a.call("POST", "/v2/l/transactions?force=true", postings(usd("b", "c", 1))))
	read := make(chan answer, 1)
	group.Go(func() { read <- a.call("GET", "/v2/l/logs", nil) })
	poll := time.NewTicker(2 * time.Millisecond)
	defer poll.Stop()
	for waiting := true; waiting && a.blocked() < 2; {
		select {
		case got := <-read:
			t.Errorf("the reader did not wait: %s", got.text)
			waiting = false
		case <-poll.C:
		}
	}
	if err := holder.Rollback(ctx); err != nil {
		t.Fatal(err)
	}
	group.Wait()
	if got := checkChain(t, a, "/v2/l"); got != 2 {
		t.Errorf("%d logs, want 2", got)
	}
}
