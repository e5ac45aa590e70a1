package machine

import (
	"strings"
	"time"
)

// storable drops what PostgreSQL's texts cannot hold.
func Storable(text string) string { return strings.ReplaceAll(text, "\x00", "") }

func Moment(micro int64) time.Time { return time.UnixMicro(micro).UTC() }
