package actors

import "errors"

// ErrStepAside is returned by a message handler that finds another process working on the same message. The delivery is then neither
// acknowledged nor rejected, because that would settle the other process's delivery too.
var ErrStepAside = errors.New("another process works on this message")
