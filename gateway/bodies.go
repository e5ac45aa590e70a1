package gateway

import (
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
	// firstChunk is how much of a larger body must have arrived before the memory for all of it is reserved.
	firstChunk = 32 << 10
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
	// small and large are for bodies by their size, arriving for the first chunks of large ones. So no body holds a part of the memory of
	// large ones while it waits for the rest.
	small, arriving, large *memory.Budget
	// replies bound what clients have not yet received, transfers the parts of files.
	replies, transfers *memory.Budget
}

func newBudgets(c Config, m *metrics) budgets {
	size := memory.AtMost(c.BodyBudget, 8)
	create := func(name, label string, size int64, wait time.Duration) *memory.Budget {
		return memory.NewBudget(name, size, wait, func(reason string) { m.refused.WithLabelValues(label, reason).Inc() })
	}
	return budgets{
		small:    create("small request bodies (an eighth of gateway.body_budget)", "small", size/8, memory.DefaultWait),
		arriving: create("arriving request bodies (a quarter of gateway.body_budget)", "arriving", size/4, memory.DefaultWait),
		large:    create("request bodies (gateway.body_budget)", "large", size-size/8-size/4, memory.DefaultWait),
		replies:  create("responses (as much as gateway.body_budget)", "responses", size, 0),

		transfers: create("uploads and downloads (as much as gateway.body_budget)", "transfers", size, memory.DefaultWait),
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

// owner is whose turn in the process's pool the decoding takes.
func (b *body) owner() string {
	if b.caller == nil {
		return ""
	}
	return b.caller.limitKey()
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

// reserve waits for the memory of n bytes, each of which takes a number of bytes.
func (b *body) reserve(ctx context.Context, of func(*budgets) *memory.Budget, n, factor int64) error {
	if b.budgets == nil {
		return nil
	}
	reservation := of(b.budgets).Reserve(b.caller.limitKey())
	err := reservation.Grow(ctx, n*factor)
	b.memory.Release() // what arrived before is a part of it
	b.memory = reservation
	return err
}

func smallBodies(b *budgets) *memory.Budget    { return b.small }
func arrivingBodies(b *budgets) *memory.Budget { return b.arriving }
func largeBodies(b *budgets) *memory.Budget    { return b.large }

// read reads the body. The memory for it is reserved before it is taken: that of a small body at once, that of a large one, as the client
// declares it or else as much as the endpoint takes, when the first chunk has arrived. So a client that sends slowly holds little. The error
// is one of Reservation.Grow, CodeTooLarge, or CodeInvalid if the body breaks off or arrives too slowly.
func (b *body) read(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	length := r.ContentLength
	if length < 0 || length > b.max {
		length = b.max
	}
	reader := http.MaxBytesReader(w, r.Body, b.max)
	if length <= smallBody {
		if err := b.reserve(r.Context(), smallBodies, length, b.factor); err != nil {
			return nil, err
		}
		data, err := readAtMost(reader, make([]byte, 0, length+1))
		return data, b.readError(err)
	}
	if err := b.reserve(r.Context(), arrivingBodies, firstChunk, 1); err != nil {
		return nil, err
	}
	deadline := deadlineOf(w, firstChunkTime)
	defer deadline.reset()
	data, err := readAtMost(reader, make([]byte, 0, min(length+1, firstChunk)))
	if err != nil {
		length = int64(len(data)) // that was all of it
	}
	if e := b.readError(err); e != nil {
		return nil, e
	}
	if e := b.reserve(r.Context(), largeBodies, length, b.factor); e != nil || err != nil {
		return data, e
	}
	deadline.set(restTime + time.Duration(length/minBodyRate)*time.Second)
	data, err = readAtMost(reader, append(make([]byte, 0, length+1), data...))
	return data, b.readError(err)
}

// readError returns the error for one of reading; nil at the end of the body.
func (b *body) readError(err error) error {
	var tooLarge *http.MaxBytesError
	switch {
	case err == nil, errors.Is(err, io.EOF):
		return nil
	case errors.As(err, &tooLarge):
		return tooLargeBody(b.max)
	case errors.Is(err, os.ErrDeadlineExceeded):
		return &subjects.Error{Code: subjects.CodeInvalid, Detail: "the body arrives too slowly: 64 KiB a second are expected", Cause: err}
	}
	return &subjects.Error{Code: subjects.CodeInvalid, Detail: "the body could not be read", Cause: err}
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
	d.set(in)
	return d
}

func (d readDeadline) set(in time.Duration) {
	// Errors are ignored: a ResponseRecorder has no deadlines.
	_ = d.control.SetReadDeadline(time.Now().Add(in))
}

// reset sets it to that of a request that was just received: one that passes while the request is handled would cancel it.
func (d readDeadline) reset() { d.set(readTimeout) }

func tooLargeBody(limit int64) error {
	return subjects.Errorf(subjects.CodeTooLarge, "the body exceeds %d bytes", limit)
}

// minReplyRate is the rate in bytes a second at which a client must receive a large response, after replyTime.
const (
	minReplyRate = 32 << 10
	replyTime    = 10 * time.Second
)

// holdReply reserves the memory of a large response until the client has received it, and bounds the time for that. The error is CodeRateLimited
// or CodeUnavailable: too much waits for this client, or for all. The response of a request that has changed something is written in any case.
func (rc *requestContext) holdReply(size int, changed bool) (release func(), err error) {
	reservation := rc.g.budgets.replies.Reserve(rc.caller.limitKey())
	if err := reservation.Grow(rc.ctx, int64(size)); err != nil && !changed {
		return nil, err
	}
	// An error is ignored: a ResponseRecorder has no deadlines.
	_ = http.NewResponseController(rc.w).SetWriteDeadline(time.Now().Add(replyTime + time.Duration(size/minReplyRate)*time.Second))
	return reservation.Release, nil
}

// partFactor is how many times its bytes a part of a file takes: its content, and a message with it in base64.
const partFactor = 3

// holdPart reserves the memory of a part of a file, for a whole upload or download. The error is that of Reservation.Grow.
func (rc *requestContext) holdPart(size int64) (release func(), err error) {
	reservation := rc.g.budgets.transfers.Reserve(rc.caller.limitKey())
	if err := reservation.Grow(rc.ctx, size*partFactor); err != nil {
		return nil, err
	}
	return reservation.Release, nil
}
