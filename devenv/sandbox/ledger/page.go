package ledger

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/jackc/pgx/v5"
)

// page is what is to be listed, and where the listing stands. It is the content
// of a cursor, so a listing goes on with the filter it began with.
type page struct {
	Size       uint64          `json:"pageSize"`
	Column     string          `json:"column"`
	Descending bool            `json:"descending"`
	Filter     json.RawMessage `json:"qb,omitempty"`
	PIT        *time.Time      `json:"pit,omitempty"`
	OOT        *time.Time      `json:"oot,omitempty"`
	Expand     []string        `json:"expand,omitempty"`
	Insertion  bool            `json:"insertionDate,omitempty"`
	GroupBy    int             `json:"groupBy,omitempty"`

	// Offset is set for columns that are paged by counting rows.
	Offset *uint64 `json:"offset,omitempty"`
	// Start is the row a page begins with (or ends before, when Reverse), Bottom
	// the row that the first page began with: for columns paged by value.
	Start   *mark `json:"paginationID,omitempty"`
	Bottom  *mark `json:"bottom,omitempty"`
	Reverse bool  `json:"reverse,omitempty"`
}

// mark is a row's place in an order: the text of the sort column, and of the
// column that decides among equals.
type mark struct {
	Value string `json:"value"`
	Tie   string `json:"tie"`
}

func (p page) encode() string {
	data, err := json.Marshal(p)
	if err != nil {
		panic(fmt.Sprintf("cursor cannot be encoded: %v", err))
	}
	return base64.RawURLEncoding.EncodeToString(data)
}

func decodePage(text string) (page, error) {
	var p page
	data, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil {
		return p, invalid("%s", err)
	}
	if err := json.Unmarshal(data, &p); err != nil {
		return p, invalid("invalid cursor: %s", err)
	}
	return p, nil
}

// sortColumn is a column that a listing may be ordered by.
type sortColumn struct {
	sql string
	// cast is the type of a column that is paged by value; columns without are
	// paged by offset.
	cast string
	// fixed columns exist but cannot be ordered by.
	fixed bool
}

// listing is what to list: the parts of a SELECT, of which $1 is the ledger.
type listing struct {
	columns string
	from    string
	where   string
	sort    map[string]sortColumn
	tie     string // column that makes the order total
	tieCast string
}

// page reads the paging parameters of a request, or its cursor.
func (c *call) page(column string, descending bool) (page, error) {
	if text := c.query.Get("cursor"); text != "" {
		p, err := decodePage(text)
		if err == nil {
			p.Size, err = c.pageSize(p.Size)
		}
		return p, err
	}
	p, err := c.firstPage(column, descending)
	if err != nil {
		return p, invalid("extracting paginated query: %s", err)
	}
	return p, nil
}

func (c *call) firstPage(column string, descending bool) (page, error) {
	p := page{Column: column, Descending: descending, Expand: c.expand()}
	var err error
	if p.PIT, err = timeParameter(c.query, "pit"); err != nil {
		return p, err
	}
	if p.OOT, err = timeParameter(c.query, "oot"); err != nil {
		return p, err
	}
	if p.Filter, err = c.filterText(); err != nil {
		return p, err
	}
	if _, err := parseFilter(p.Filter); err != nil {
		return p, err
	}
	if p.Size, err = c.pageSize(pageSizeDefault); err != nil {
		return p, err
	}
	if sort := c.query.Get("sort"); sort != "" {
		name, direction, given := strings.Cut(sort, ":")
		p.Column = snakeCase(name)
		switch strings.ToLower(direction) {
		case "desc":
			p.Descending = true
		case "asc":
			p.Descending = false
		default:
			if given {
				return p, invalid("invalid order: %s", direction)
			}
		}
	}
	return p, nil
}

func (c *call) pageSize(otherwise uint64) (uint64, error) {
	text := c.query.Get("pageSize")
	if text == "" {
		return otherwise, nil
	}
	size, err := strconv.ParseUint(text, 10, 32)
	switch {
	case err != nil:
		return 0, invalid("invalid 'pageSize' query param")
	case size == 0:
		return pageSizeDefault, nil
	}
	return min(size, pageSizeMax), nil
}

// filterText is the filter of a request: of the query string, else the body.
func (c *call) filterText() (json.RawMessage, error) {
	if text := c.query.Get("query"); text != "" {
		return json.RawMessage(text), nil
	}
	return c.body()
}

func (c *call) expand() []string {
	var names []string
	for _, list := range c.query["expand"] {
		names = append(names, strings.Split(list, ",")...)
	}
	return names
}

func snakeCase(name string) string {
	var b strings.Builder
	for i, r := range name {
		if unicode.IsUpper(r) {
			if i > 0 {
				b.WriteByte('_')
			}
			r = unicode.ToLower(r)
		}
		b.WriteRune(r)
	}
	return b.String()
}

// query prepares the SQL of a page.
func (p page) query(b book) *query {
	q := newQuery(b)
	q.pit, q.oot, q.byInsertion = p.PIT, p.OOT, p.Insertion
	return q
}

// condition validates and renders the filter of a page.
func (p page) condition(r resource, q *query) (string, error) {
	f, err := parseFilter(p.Filter)
	if err != nil {
		return "", invalid("%s", err)
	}
	if err := r.validate(f); err != nil {
		return "", err
	}
	return r.where(q, f)
}

// cursorJSON is a page as it travels.
type cursorJSON[T any] struct {
	PageSize uint64 `json:"pageSize"`
	HasMore  bool   `json:"hasMore"`
	Previous string `json:"previous,omitempty"`
	Next     string `json:"next,omitempty"`
	Data     []T    `json:"data"`
}

type row[T any] struct {
	item T
	mark mark
}

// paginate reads one page. scan reads the columns of the listing, and the two
// texts of the row's mark into the given places.
func paginate[T any](ctx context.Context, s *Server, p page, q *query, l listing, scan func(row pgx.CollectableRow, extra ...any) (T, error)) (cursorJSON[T], error) {
	column, known := l.sort[p.Column]
	switch {
	case !known:
		return cursorJSON[T]{}, fmt.Errorf("invalid property '%s' for pagination", p.Column)
	case column.fixed:
		return cursorJSON[T]{}, invalid("field %s is not paginated", p.Column)
	}
	if column.cast == "" && p.Offset == nil {
		p.Offset = new(uint64)
	}
	sql := l.statement(p, q, column)
	found, err := s.pool.Query(ctx, sql, q.args...)
	if err != nil {
		return cursorJSON[T]{}, fmt.Errorf("list: %w", err)
	}
	rows, err := pgx.CollectRows(found, func(r pgx.CollectableRow) (row[T], error) {
		var read row[T]
		var err error
		read.item, err = scan(r, &read.mark.Value, &read.mark.Tie)
		return read, err
	})
	if err != nil {
		return cursorJSON[T]{}, fmt.Errorf("list: %w", err)
	}
	if column.cast == "" {
		return byOffset(p, rows), nil
	}
	return byValue(p, rows), nil
}

// statement reads one row more than the page holds, to know whether there is
// one.
func (l listing) statement(p page, q *query, column sortColumn) string {
	descending := p.Descending != p.Reverse
	direction, where := "asc", l.where
	if descending {
		direction = "desc"
	}
	if p.Start != nil && column.cast != "" {
		sign := ">="
		switch {
		case p.Reverse && descending:
			sign = "<"
		case p.Reverse:
			sign = ">"
		case descending:
			sign = "<="
		}
		where += fmt.Sprintf(" and (%s, %s) %s (%s::text::%s, %s::text::%s)",
			column.sql, l.tie, sign, q.arg(p.Start.Value), column.cast, q.arg(p.Start.Tie), l.tieCast)
	}
	tieDirection := direction
	if column.cast == "" {
		tieDirection = "asc"
	}
	sql := fmt.Sprintf("select %s, (%s)::text as mark_value, (%s)::text as mark_tie from %s where %s order by %s %s, %s %s limit %d",
		l.columns, column.sql, l.tie, l.from, where, column.sql, direction, l.tie, tieDirection, p.Size+1)
	if p.Offset != nil {
		sql += fmt.Sprintf(" offset %d", *p.Offset)
	}
	return sql
}

func items[T any](rows []row[T]) []T {
	list := make([]T, len(rows))
	for i, r := range rows {
		list[i] = r.item
	}
	return list
}

// byOffset makes the cursor of a listing that counts rows: rows may be missed
// or repeated while others write, as in the ledger.
func byOffset[T any](p page, rows []row[T]) cursorJSON[T] {
	c := cursorJSON[T]{PageSize: p.Size}
	if offset := *p.Offset; offset > 0 {
		back := p
		before := offset - min(offset, p.Size)
		back.Offset = &before
		c.Previous = back.encode()
	}
	if uint64(len(rows)) > p.Size {
		rows = rows[:p.Size]
		on := p
		after := *p.Offset + p.Size
		on.Offset = &after
		c.Next, c.HasMore = on.encode(), true
	}
	c.Data = items(rows)
	return c
}

// byValue makes the cursor of a listing that continues at a row.
func byValue[T any](p page, rows []row[T]) cursorJSON[T] {
	more := uint64(len(rows)) > p.Size
	var beyond mark
	if more {
		beyond = rows[p.Size].mark
		rows = rows[:p.Size]
	}
	if p.Bottom == nil && len(rows) > 0 {
		p.Bottom = &rows[0].mark
	}
	c := cursorJSON[T]{PageSize: p.Size}
	if p.Reverse {
		on := p
		on.Reverse = false
		c.Next = on.encode()
		if more {
			back := p
			back.Start = &rows[len(rows)-1].mark
			c.Previous = back.encode()
		}
		slices.Reverse(rows)
	} else {
		if more {
			on := p
			on.Start = &beyond
			c.Next = on.encode()
		}
		if p.Start != nil && p.Bottom != nil && *p.Start != *p.Bottom {
			back := p
			back.Reverse = true
			c.Previous = back.encode()
		}
	}
	c.HasMore = c.Next != ""
	c.Data = items(rows)
	return c
}

// respond answers {"cursor": ...}.
func respond[T any](c *call, cursor cursorJSON[T], err error) error {
	if err != nil {
		return err
	}
	return c.render(http.StatusOK, map[string]any{"cursor": cursor})
}

// filtering introduces the errors of a listing's filter.
func filtering(err error) error {
	if err == nil {
		return nil
	}
	answer := describe(err)
	if answer.status == http.StatusInternalServerError {
		return err
	}
	return &apiError{answer.status, answer.code, "building filtered dataset: " + answer.message}
}

// count answers a HEAD request: the number of rows is in a header.
func (s *Server) count(c *call, r resource, from func(*query) string) error {
	p, err := c.firstPage("", false)
	if err != nil {
		return invalid("%s", err)
	}
	q := p.query(c.book)
	where, err := p.condition(r, q)
	if err != nil {
		return err
	}
	sql := "select count(*) from " + from(q) + " where ledger_id = $1 and (" + where + ")"
	var n int64
	if err := s.pool.QueryRow(c.ctx(), sql, q.args...).Scan(&n); err != nil {
		return fmt.Errorf("count: %w", err)
	}
	c.w.Header().Set("Count", strconv.FormatInt(n, 10))
	return c.noContent()
}
