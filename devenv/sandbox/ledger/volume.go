package ledger

import (
	"context"
	"fmt"
	"math/big"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/dayof/dayof/devenv/sandbox/ledger/numscript"
)

// holdingRow is a locked volumes row as it is now.
type holdingRow struct {
	volumes
	// earliest and latest bound the timestamps of the row's moves; infinite, the
	// wrong way round, when there are none.
	earliest, latest pgtype.Timestamptz
	// first: none of the moves before the last one was as early as that one, or
	// they were of the same time.
	first bool
	// later: some are later than the last one.
	later bool
}

type holdingRows map[numscript.Holding]holdingRow

// after says whether a bound lies after t.
func after(bound pgtype.Timestamptz, t time.Time) bool {
	return bound.InfinityModifier == pgtype.Infinity || bound.InfinityModifier == pgtype.Finite && bound.Time.After(t)
}

// before says whether a bound lies before t.
func before(bound pgtype.Timestamptz, t time.Time) bool {
	return bound.InfinityModifier == pgtype.NegativeInfinity || bound.InfinityModifier == pgtype.Finite && bound.Time.Before(t)
}

// moved is the row after a movement.
func (r holdingRow) moved(m movement, effective time.Time) holdingRow {
	at := pgtype.Timestamptz{Time: effective, Valid: true}
	r.volumes = volumes{new(big.Int).Add(r.input, m.input), new(big.Int).Add(r.output, m.output)}
	r.first, r.later = after(r.earliest, effective), after(r.latest, effective)
	if r.first {
		r.earliest = at
	}
	if before(r.latest, effective) {
		r.latest = at
	}
	return r
}

// addVolumesSQL adds amounts to volumes rows, makes rows that are missing, and
// so locks each of them until the end of the transaction, in the given order.
const addVolumesSQL = `
	insert into volumes as v (ledger_id, account, asset, input, output, first_effective, last_effective)
	select $1, d.account, d.asset, d.input, d.output, $6, $7
	from unnest($2::text[], $3::text[], $4::text[]::numeric[], $5::text[]::numeric[]) as d (account, asset, input, output)
	on conflict (ledger_id, account, asset) do update
	set input = v.input + excluded.input,
	    output = v.output + excluded.output,
	    first_effective = least(v.first_effective, excluded.first_effective),
	    last_effective = greatest(v.last_effective, excluded.last_effective)`

const returnVolumesSQL = `
	returning v.account, v.asset, v.input::text, v.output::text, v.first_effective, v.last_effective, v.xmax = 0`

// queueMoves queues the effect of the movements, effective at the given time.
// When all rows are locked by now, known is true and w.rows has their new
// values at once; otherwise the next flush fills it.
func (w *work) queueMoves(moves []movement, effective time.Time) (known bool) {
	input, output := make([]string, len(moves)), make([]string, len(moves))
	for i, m := range moves {
		input[i], output[i] = m.input.String(), m.output.String()
	}
	at := pgtype.Timestamptz{Time: effective, Valid: true}
	holdings := movedHoldings(moves)
	if !w.holds(holdings) {
		w.addVolumes(holdings, input, output, at, at, func(h numscript.Holding, row holdingRow, _ bool) {
			row.first, row.later = !before(row.earliest, effective), after(row.latest, effective)
			w.rows[h] = row
		})
		return false
	}
	for _, m := range moves {
		w.rows[m.Holding] = w.rows[m.Holding].moved(m, effective)
	}
	accounts, assets := columns(holdings)
	w.batch.Queue(addVolumesSQL, w.book.id, accounts, assets, input, output, at, at)
	return true
}

// holds says whether the work has locked all the holdings.
func (w *work) holds(holdings []numscript.Holding) bool {
	for _, h := range holdings {
		if _, ok := w.rows[h]; !ok {
			return false
		}
	}
	return true
}

// queueLocks queues locking the holdings, in their order, without changing
// them. The next flush fills w.rows, and made with the holdings whose rows had
// to be made.
func (w *work) queueLocks(holdings []numscript.Holding, made map[numscript.Holding]bool) {
	zeros := make([]string, len(holdings))
	for i := range zeros {
		zeros[i] = "0"
	}
	never := pgtype.Timestamptz{InfinityModifier: pgtype.Infinity, Valid: true}
	always := pgtype.Timestamptz{InfinityModifier: pgtype.NegativeInfinity, Valid: true}
	w.addVolumes(holdings, zeros, zeros, never, always, func(h numscript.Holding, row holdingRow, isNew bool) {
		w.rows[h] = row
		if isNew {
			made[h] = true
		}
	})
}

func (w *work) addVolumes(
	holdings []numscript.Holding, input, output []string, earliest, latest pgtype.Timestamptz,
	locked func(h numscript.Holding, row holdingRow, isNew bool),
) {
	accounts, assets := columns(holdings)
	w.batch.Queue(addVolumesSQL+returnVolumesSQL, w.book.id, accounts, assets, input, output, earliest, latest).Query(func(found pgx.Rows) error {
		defer found.Close()
		for found.Next() {
			var (
				h       numscript.Holding
				in, out string
				row     holdingRow
				isNew   bool
			)
			if err := found.Scan(&h.Account, &h.Asset, &in, &out, &row.earliest, &row.latest, &isNew); err != nil {
				return err
			}
			var err error
			if row.volumes, err = parseVolumes(in, out); err != nil {
				return err
			}
			locked(h, row, isNew)
		}
		return found.Err()
	})
}

func movedHoldings(moves []movement) []numscript.Holding {
	holdings := make([]numscript.Holding, len(moves))
	for i, m := range moves {
		holdings[i] = m.Holding
	}
	return holdings
}

func columns(holdings []numscript.Holding) (accounts, assets []string) {
	accounts, assets = make([]string, len(holdings)), make([]string, len(holdings))
	for i, h := range holdings {
		accounts[i], assets[i] = h.Account, h.Asset
	}
	return accounts, assets
}

func parseVolumes(input, output string) (volumes, error) {
	in, err := parseAmount(input)
	if err != nil {
		return volumes{}, err
	}
	out, err := parseAmount(output)
	return volumes{in, out}, err
}

// parseAmount reads a numeric column without fraction.
func parseAmount(text string) (*big.Int, error) {
	n, ok := new(big.Int).SetString(text, 10)
	if !ok {
		return nil, fmt.Errorf("amount %q in a row is not an integer", text)
	}
	return n, nil
}

// before returns the volumes as they were before the movements.
func (rows holdingRows) before(moves []movement) map[numscript.Holding]*big.Int {
	balances := make(map[numscript.Holding]*big.Int, len(moves))
	for _, m := range moves {
		b := rows[m.Holding].balance()
		b.Sub(b, m.input)
		balances[m.Holding] = b.Add(b, m.output)
	}
	return balances
}

func (rows holdingRows) table(moves []movement) volumeTable {
	table := make(volumeTable)
	for _, m := range moves {
		table.set(m.Account, m.Asset, rows[m.Holding].volumes)
	}
	return table
}

// effectiveVolumes returns the volumes by timestamp instead of by insertion:
// what was moved later than the given time does not count yet. Only a
// backdated transaction has to ask the database.
func (w *work) effectiveVolumes(ctx context.Context, moves []movement, effective time.Time) (volumeTable, error) {
	table := w.rows.table(moves)
	var backdated []numscript.Holding
	for _, m := range moves {
		if w.rows[m.Holding].later {
			backdated = append(backdated, m.Holding)
		}
	}
	if len(backdated) == 0 {
		return table, nil
	}
	accounts, assets := columns(backdated)
	w.batch.Queue(`
		select m.account, m.asset, sum(m.input)::text, sum(m.output)::text
		from unnest($2::text[], $3::text[]) as k (account, asset)
		join moves m on m.ledger_id = $1 and m.account = k.account and m.asset = k.asset and m.effective_at > $4
		group by m.account, m.asset`,
		w.book.id, accounts, assets, effective,
	).Query(func(found pgx.Rows) error {
		defer found.Close()
		for found.Next() {
			var account, asset, in, out string
			if err := found.Scan(&account, &asset, &in, &out); err != nil {
				return err
			}
			later, err := parseVolumes(in, out)
			if err != nil {
				return err
			}
			now := table[account][asset]
			table.set(account, asset, volumes{new(big.Int).Sub(now.input, later.input), new(big.Int).Sub(now.output, later.output)})
		}
		return found.Err()
	})
	return table, w.flush(ctx)
}
