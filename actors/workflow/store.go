package workflow

import (
	"database/sql"
	"errors"
	"fmt"
)

// oneRow wraps the error of a query for one row. It returns missing, an error with CodeNotFound, if there is no row; callers
// test for it with engine.IsNotFound.
func oneRow(err error, doing string, missing error) error {
	if errors.Is(err, sql.ErrNoRows) {
		return missing
	}
	if err != nil {
		return fmt.Errorf("%s: %w", doing, err)
	}
	return nil
}
