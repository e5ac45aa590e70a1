package workflow

import (
	"strconv"
	"time"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/subjects"
)

// timeCursor decodes the cursor of a list that is sorted by time and id: the microseconds and the id of the last item. Both
// are zero if there is no cursor.
func timeCursor(cursor string) (after int64, afterID string, err error) {
	parts, err := actors.DecodeCursor(cursor, 2)
	if err != nil || parts[1] == "" {
		return 0, "", err
	}
	if after, err = strconv.ParseInt(parts[0], 10, 64); err != nil {
		return 0, "", errInvalidCursor
	}
	return after, parts[1], nil
}

// timeKey returns the sort key that timeCursor decodes.
func timeKey(at time.Time, id string) []string {
	return []string{strconv.FormatInt(at.UnixMicro(), 10), id}
}

// numberCursor decodes the cursor of a list that is sorted by a positive number; 0 if there is no cursor.
func numberCursor(cursor string) (int, error) {
	parts, err := actors.DecodeCursor(cursor, 1)
	if err != nil || parts[0] == "" {
		return 0, err
	}
	number, err := strconv.Atoi(parts[0])
	if err != nil || number < 0 {
		return 0, errInvalidCursor
	}
	return number, nil
}

var errInvalidCursor = subjects.InvalidField("cursor", "invalid cursor")
