package actors

import (
	"errors"
	"time"
)

// RetrySoon is the RetryAfter of an error whose cause usually passes within moments, such as a lost connection.
const RetrySoon = time.Second

// ErrStepAside is returned by a message handler that finds another process working on the same message. The delivery is then neither
// acknowledged nor rejected, because that would settle the other process's delivery too.
var ErrStepAside = errors.New("another process works on this message")
