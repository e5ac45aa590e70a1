package gateway

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"time"

	"github.com/weftmesh/weft/mesh/memory"
	"github.com/weftmesh/weft/subjects"
)

const (
	// smallBody is the size in bytes up to which bodies have a budget of their own, so that large ones do not displace them.
	smallBody = 16 << 10
	// firstChunk is how much of a body must have arrived before the memory for the rest is reserved.
	firstChunk = 64 << 10
	// bodyFactor is how many times its bytes a body takes while it is read, validated and written as a message; yamlFactor that of YAML,
	// whose characters may be escaped in the message.
	bodyFactor, yamlFactor = 4, 8
	// firstChunkTime bounds the time in which firstChunk, or a shorter body that is larger than smallBody, must arrive. Then restTime and
	// a second for each minBodyRate bytes are left for the rest.
	firstChunkTime, restTime = 5 * time.Second, 5 * time.Second
	minBodyRate              = 64 << 10
	// largeReply is the size in bytes from which a reply counts against the budget of responses while it is written.
	largeReply = 64 << 10
)

// budgets bound the memory of what requests hold.
type budgets struct {
	small, large *memory.Budget
	// replies bound what clients have not yet received.
	replies *memory.Budget
}

func newBudgets(c Config, m *metrics) budgets {
	size := memory.AtMost(c.BodyBudget, 8)
	create := func(name, label string, size int64, wait time.Duration) *memory.Budget {
		return memory.NewBudget(name, size, wait, func(reason string) { m.refused.WithLabelValues(label, reason).Inc() })
	}
	return budgets{
		small:   create("small request bodies (a quarter of gateway.body_budget)", "small", size/4, memory.DefaultWait),
		large:   create("request bodies (gateway.body_budget)", "large", size-size/4, memory.DefaultWait),
		replies: create("responses (as much as gateway.body_budget)", "responses", size, 0),
	}
}

// body reads the body of one request within a budget.
type body struct {
	// budgets is nil for a message that is built without a server.
	budgets *budgets
	caller  *caller
	// max bounds the body, in bytes; factor is how many times its bytes it takes.
	max, factor int64
	memory      memory.Reservation
}

// release gives the memory back.
func (b *body) release() {
	if b.budgets != nil {
		b.memory.Release()
	}
}

// keep gives the memory back except that for a message of n bytes.
func (b *body) keep(n int) {
	if b.budgets != nil {
		b.memory.Shrink(int64(n))
	}
}

// nameSize is what a decoder takes at most for a member's name, by which it finds those given twice.
const nameSize = 128

// growForNames reserves the memory for the names of a JSON body, which may take many times their bytes.
func (b *body) growForNames(ctx context.Context, data []byte) error {
	if b.budgets == nil || len(data) <= smallBody {
		return nil
	}
	names := min(bytes.Count(data, []byte{':'}), subjects.MaxValues)
	return b.memory.Grow(ctx, int64(len(data))*b.factor+int64(names)*nameSize)
}

// grow reserves the memory for n bytes of the body.
func (b *body) grow(ctx context.Context, n int64) error {
	if b.budgets == nil {
		return nil
	}
	return b.memory.Grow(ctx, n*b.factor)
}

// read reads the body. The memory for it is reserved before it is taken: for the first part at once, and for the rest, as the
// client declares it or else as much as the endpoint takes, when that part has arrived. So a client that sends slowly holds little. The error
// is one of Reservation.Grow, CodeTooLarge, or CodeInvalid if the body breaks off or arrives too slowly.
func (b *body) read(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	length := r.ContentLength
	if length < 0 || length > b.max {
		length = b.max
	}
	if b.budgets != nil {
		of := b.budgets.large
		if length <= smallBody {
			of = b.budgets.small
		}
		b.memory = of.Reserve(b.caller.limitKey())
	}
	if err := b.grow(r.Context(), min(length, firstChunk)); err != nil {
		return nil, err
	}
	if length > smallBody {
		deadline := deadlineOf(w, firstChunkTime)
		defer deadline.reset()
	}
	reader := http.MaxBytesReader(w, r.Body, b.max)
	data, err := readAtMost(reader, make([]byte, 0, min(length, firstChunk)+1))
	if err == nil && int64(len(data)) > firstChunk {
		if err := b.grow(r.Context(), length); err != nil {
			return nil, err
		}
		deadlineOf(w, restTime+time.Duration(length/minBodyRate)*time.Second)
		data, err = readAtMost(reader, append(make([]byte, 0, length+1), data...))
	}
	var tooLarge *http.MaxBytesError
	switch {
	case err == nil, errors.Is(err, io.EOF):
		return data, nil
	case errors.As(err, &tooLarge):
		return nil, tooLargeBody(b.max)
	case errors.Is(err, os.ErrDeadlineExceeded):
		return nil, &subjects.Error{Code: subjects.CodeInvalid, Detail: "the body arrives too slowly: 64 KiB a second are expected", Cause: err}
	}
	return nil, &subjects.Error{Code: subjects.CodeInvalid, Detail: "the body could not be read", Cause: err}
}

// readAtMost reads until the capacity of data is filled, or until the end of the body, which is io.EOF.
func readAtMost(r io.Reader, data []byte) ([]byte, error) {
	for len(data) < cap(data) {
		n, err := r.Read(data[len(data):cap(data)])
		data = data[:len(data)+n]
		if err != nil {
			return data, err //nolint:wrapcheck // read distinguishes the errors
		}
	}
	return data, nil
}

// readDeadline is the server's deadline for reading a request.
type readDeadline struct{ control *http.ResponseController }

// deadlineOf sets the deadline to a time from now.
func deadlineOf(w http.ResponseWriter, in time.Duration) readDeadline {
	d := readDeadline{http.NewResponseController(w)}
	// Errors are ignored: a ResponseRecorder has no deadlines.
	_ = d.control.SetReadDeadline(time.Now().Add(in))
	return d
}

// reset sets it to that of a request that has just begun: one that passes while the request is handled would cancel it.
func (d readDeadline) reset() { _ = d.control.SetReadDeadline(time.Now().Add(readTimeout)) }

func tooLargeBody(limit int64) error {
	return subjects.Errorf(subjects.CodeTooLarge, "the body exceeds %d bytes", limit)
}
