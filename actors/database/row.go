package database

import (
	"database/sql"
	"errors"
	"fmt"
)

// OneRow returns the error of a query for one row: notFound if there is no such row, and any other error wrapped with what
// the query was doing, such as "reading a user".
func OneRow(err error, doing string, notFound error) error {
	if errors.Is(err, sql.ErrNoRows) {
		return notFound
	}
	if err != nil {
		return fmt.Errorf("%s: %w", doing, err)
	}
	return nil
}
