package integration

import (
	"database/sql"
	"errors"
	"fmt"

	"github.com/uptrace/bun"

	"github.com/weftmesh/weft/subjects"
)

// errNotFound is what a query returns that finds no row. notFound maps it to the error that callers see.
var errNotFound = errors.New("not found")

// readError is the error of a query for one row: errNotFound if there is none.
func readError(err error, doing string) error {
	if errors.Is(err, sql.ErrNoRows) {
		return errNotFound
	}
	if err != nil {
		return fmt.Errorf("%s: %w", doing, err)
	}
	return nil
}

// affected returns how many rows a statement changed. It takes the results of Exec.
func affected(result sql.Result, err error, doing string) (int64, error) {
	if err != nil {
		return 0, fmt.Errorf("%s: %w", doing, err)
	}
	return result.RowsAffected()
}

// newestFirst orders a query by descending id, which is descending time, and starts after the given id if there is one.
// It limits the query to one row more than requested, which shows whether there is another page.
func newestFirst(q *bun.SelectQuery, r subjects.PageRequest, after string) *bun.SelectQuery {
	if after != "" {
		q.Where("id < ?", after)
	}
	return q.Order("id DESC").Limit(int64(r.PageLimit() + 1))
}
