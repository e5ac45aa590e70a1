package workflow

import (
	"strconv"
	"time"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/subjects"
)

// timeCursor reads the cursor of a list by time, the newest first.
func timeCursor(cursor string) (after int64, afterID string, err error) {
	parts, err := actors.DecodeCursor(cursor, 2)
	if err != nil || parts[1] == "" {
		return 0, "", err
	}
	if after, err = strconv.ParseInt(parts[0], 10, 64); err != nil {
		return 0, "", subjects.InvalidField("cursor", "is not one that a list answered with")
	}
	return after, parts[1], nil
}

// timeKey is the key that timeCursor reads.
func timeKey(at time.Time, id string) []string {
	return []string{strconv.FormatInt(at.UnixMicro(), 10), id}
}
