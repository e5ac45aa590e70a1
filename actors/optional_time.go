package actors

import "time"

// OptionalTime converts a stored time, in microseconds since the Unix epoch; 0 is no time.
func OptionalTime(micros int64) *time.Time {
	if micros == 0 {
		return nil
	}
	t := time.UnixMicro(micros).UTC()
	return &t
}
