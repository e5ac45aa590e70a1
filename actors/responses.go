package actors

import (
	"context"
	"sync"
	"time"

	"github.com/weftmesh/weft/mesh/memory"
)

const (
	// responseMemory bounds the memory of the large responses of other servers that a process reads and decodes at a time, in bytes; an
	// eighth of the process's memory limit if that is less.
	responseMemory = 64 << 20
	// responseFactor is how many times its size a response takes until it is decoded.
	responseFactor = 6
	// responseTime is how long a response may hold its memory, and how long one waits for memory.
	responseTime = time.Minute
)

var responses = sync.OnceValue(func() *memory.Budget {
	return memory.NewBudget("responses of other servers", memory.AtMost(responseMemory, 8), responseTime, nil)
})

// ReserveResponse waits until a response may take the memory for a number of bytes more, while other responses are read: the server waits
// too. A user's responses hold at most a share of the memory. It is given back when the caller's context ends.
func ReserveResponse(ctx, caller context.Context, bytes int64) error {
	reservation := responses().Reserve(CallerFrom(caller).UserID)
	if err := reservation.Grow(ctx, bytes*responseFactor); err != nil {
		return err
	}
	until, cancel := context.WithTimeout(caller, responseTime)
	context.AfterFunc(until, func() {
		cancel()
		reservation.Release()
	})
	return nil
}
