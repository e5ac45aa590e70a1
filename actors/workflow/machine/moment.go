package machine

import (
	"strings"
	"time"
)

// Storable is a text without U+0000, which PostgreSQL cannot store.
func Storable(text string) string { return strings.ReplaceAll(text, "\x00", "") }

// Moment is the time at a number of microseconds since the epoch, in UTC.
func Moment(micro int64) time.Time { return time.UnixMicro(micro).UTC() }
