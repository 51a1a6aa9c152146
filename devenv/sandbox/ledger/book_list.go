package ledger

func bookResource() resource {
	return resource{
		fields: map[string]fieldKind{
			"bucket": stringField, "features": stringMapField, "metadata": stringMapField,
			"name": stringField, "id": numberField, "added_at": dateField,
		},
		resolve: func(q *query, operator, key string, value any) (string, error) {
			switch {
			case key == "name" || key == "bucket":
				return q.compareText(key, operator, value)
			case key == "id":
				return q.compareNumber("id", operator, value)
			case key == "added_at":
				return q.compareTime("added_at", operator, value)
			case len(key) >= 8 && key[:8] == "features":
				return q.compareMetadata("features", operator, key, value)
			default:
				return q.compareMetadata("metadata", operator, key, value)
			}
		},
	}
}

func listLedgers(s *Server, c *call) error {
	p, err := c.page("id", false)
	if err != nil {
		return err
	}
	q := p.query(c.book)
	where, err := p.condition(bookResource(), q)
	if err != nil {
		return filtering(err)
	}
	cursor, err := paginate(c.ctx(), s, p, q, listing{
		columns: bookColumns,
		from:    "ledgers",
		// $1 is no ledger here; it must be used for the statement to be valid.
		where: "$1::int is not null and (" + where + ")",
		sort: map[string]sortColumn{
			"id": {sql: "id", cast: "int"}, "added_at": {sql: "added_at", cast: "timestamptz"},
			"name": {sql: "name"}, "bucket": {fixed: true}, "metadata": {fixed: true}, "features": {fixed: true},
		},
		tie: "id", tieCast: "int",
	}, scanBook)
	return respond(c, cursor, err)
}
