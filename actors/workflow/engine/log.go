package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/weftmesh/weft/subjects"
)

// logTimeout bounds one append to a log, or one read of it.
const logTimeout = 5 * time.Second

var (
	// errLost: another owner has appended to the partition's log. Nothing that was decided since holds.
	errFenced = errors.New("the partition has another owner")
	// errEventSize: an event is larger than a message can be.
	errEventSize = errors.New("an event is larger than a message of the log")
)

// partitionLog is the log of one partition, as its owner appends to it.
type partitionLog struct {
	e      *Engine
	number int
	owner  string
	// last is the sequence of the log's last message, batch counts the owner's.
	last  uint64
	batch uint64
}

// append appends one message after the last one that its owner knows. It goes on until the message is there (nil) or
// another owner's is (errLost); any other error leaves open whether the message was appended, and the next append must
// be the same one.
func (l *partitionLog) append(ctx context.Context, turns []pendingTransition) error {
	ctx, cancel := context.WithTimeout(ctx, logTimeout)
	defer cancel()
	ack, err := l.e.Conn.JS.PublishMsg(ctx, &nats.Msg{
		Subject: subjects.WorkflowLogSubject(l.number), Data: encodeEntry(l.owner, l.batch, turns),
	}, jetstream.WithExpectLastSequencePerSubject(l.last), jetstream.WithExpectStream(subjects.WorkflowLog.Name), jetstream.WithRetryAttempts(0))
	if err == nil {
		l.last, l.batch = ack.Sequence, l.batch+1
		return nil
	}
	var api *jetstream.APIError
	if !errors.As(err, &api) || api.ErrorCode != jetstream.JSErrCodeStreamWrongLastSequence {
		return fmt.Errorf("appending to the log of partition %d: %w", l.number, err)
	}
	// The log has grown: by this very message, whose acknowledgement was lost, or by somebody else's.
	found, sequence, err := l.e.lastEntry(ctx, l.number)
	if err != nil {
		return err
	}
	if sequence == 0 || found.Owner != l.owner || found.Batch != l.batch {
		return errFenced
	}
	l.last, l.batch = sequence, l.batch+1
	return nil
}

// lastEntry reads the last message of a partition's log; sequence 0 is none.
func (e *Engine) lastEntry(ctx context.Context, number int) (m entry, sequence uint64, err error) {
	return e.entryOf(ctx, map[string]any{"last_by_subj": subjects.WorkflowLogSubject(number)})
}

// nextEntry reads the first message of a partition's log from a sequence on; sequence 0 is none.
func (e *Engine) nextEntry(ctx context.Context, number int, from uint64) (m entry, sequence uint64, err error) {
	return e.entryOf(ctx, map[string]any{"seq": from, "next_by_subj": subjects.WorkflowLogSubject(number)})
}

func (e *Engine) entryOf(ctx context.Context, query map[string]any) (m entry, sequence uint64, err error) {
	data, sequence, err := e.getMessage(ctx, subjects.WorkflowLog.GetSubject(), query)
	if err != nil || sequence == 0 {
		return m, sequence, err
	}
	if err := json.Unmarshal(data, &m); err != nil {
		return m, 0, fmt.Errorf("decoding message %d of the log: %w", sequence, err)
	}
	return m, sequence, nil
}

const noSuchMessage = 10037

// getMessage asks a stream's leader for a message: a replica may lag, and a result that is missed is a step done twice.
func (e *Engine) getMessage(ctx context.Context, subject string, query map[string]any) (data []byte, sequence uint64, err error) {
	ctx, cancel := context.WithTimeout(ctx, logTimeout)
	defer cancel()
	body, err := json.Marshal(query)
	if err != nil {
		return nil, 0, fmt.Errorf("encoding a query: %w", err)
	}
	answer, err := e.Conn.RequestWithContext(ctx, subject, body)
	if err != nil {
		return nil, 0, logUnreadable(err)
	}
	var reply struct {
		Error *struct {
			ErrorCode   int    `json:"err_code"`
			Description string `json:"description"`
		} `json:"error"`
		Message struct {
			Sequence uint64 `json:"seq"`
			Data     []byte `json:"data"`
		} `json:"message"`
	}
	if err := json.Unmarshal(answer.Data, &reply); err != nil {
		return nil, 0, logUnreadable(err)
	}
	if reply.Error != nil {
		if reply.Error.ErrorCode == noSuchMessage {
			return nil, 0, nil
		}
		return nil, 0, logUnreadable(errors.New(strconv.Itoa(reply.Error.ErrorCode) + " " + reply.Error.Description))
	}
	return reply.Message.Data, reply.Message.Sequence, nil
}

func logUnreadable(err error) error {
	return &subjects.Error{
		Code: subjects.CodeUnavailable, Detail: "the history cannot be read right now", RetryAfter: time.Second,
		Cause: fmt.Errorf("reading a log: %w", err),
	}
}

// readLog hands a partition's messages after one sequence and before another to visit, in order.
func (e *Engine) readLog(ctx context.Context, number int, after, before uint64, visit func(e entry) error) error {
	for {
		e, sequence, err := e.nextEntry(ctx, number, after+1)
		if err != nil || sequence == 0 || sequence >= before {
			return err
		}
		if err := visit(e); err != nil {
			return err
		}
		after = sequence
	}
}

// cutLog drops the messages of a partition's log before a sequence.
func (e *Engine) truncateLog(ctx context.Context, number int, before uint64) error {
	ctx, cancel := context.WithTimeout(ctx, logTimeout)
	defer cancel()
	err := e.logStream.Purge(ctx, jetstream.WithPurgeSubject(subjects.WorkflowLogSubject(number)), jetstream.WithPurgeSequence(before))
	if err != nil {
		return fmt.Errorf("cutting the log of partition %d: %w", number, err)
	}
	return nil
}
