package workflow

import (
	"strings"
	"time"
)

// storable drops what PostgreSQL's texts cannot hold.
func storable(text string) string { return strings.ReplaceAll(text, "\x00", "") }

func moment(micro int64) time.Time { return time.UnixMicro(micro).UTC() }
