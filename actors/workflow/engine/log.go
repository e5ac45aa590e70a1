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

	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

// logTimeout bounds one append to a log, or one read of it.
const logTimeout = 5 * time.Second

var (
	// errFenced: another owner has appended to the partition's log. What was decided since is void.
	errFenced = errors.New("the partition has another owner")
	// errEventSize: an event does not fit into a message.
	errEventSize = errors.New("an event is larger than a message of the log")
	// errSequence: the log's last message is not the one that an append expected.
	errSequence = errors.New("the log has grown")
)

// logStore holds the logs of all partitions: JetStream in a process, memory in simulations.
type logStore interface {
	// append adds a message after the one with a sequence; errSequence where that is not the last one. Any other error leaves open
	// whether the message was added.
	append(ctx context.Context, number int, data []byte, after uint64) (sequence uint64, err error)
	// last reads the last message of a partition's log, next the first one from a sequence on. Sequence 0: there is none.
	last(ctx context.Context, number int) (data []byte, sequence uint64, err error)
	next(ctx context.Context, number int, from uint64) (data []byte, sequence uint64, err error)
	// truncate drops the messages before a sequence.
	truncate(ctx context.Context, number int, before uint64) error
}

// partitionLog is the log of one partition, as its owner appends to it.
type partitionLog struct {
	store  logStore
	number int
	owner  string
	// last is the sequence of the log's last message that the owner knows, batch numbers its own.
	last  uint64
	batch uint64
}

// append appends one message after the last one that its owner knows. It returns nil once the message is in the log, errFenced if
// another owner's is there instead. After any other error the outcome is unknown, and the next append must be of the same batch.
func (l *partitionLog) append(ctx context.Context, transitions []pendingTransition) error {
	ctx, cancel := context.WithTimeout(ctx, logTimeout)
	defer cancel()
	sequence, err := l.store.append(ctx, l.number, encodeEntry(l.owner, l.batch, transitions), l.last)
	if err == nil {
		l.last, l.batch = sequence, l.batch+1
		return nil
	}
	if !errors.Is(err, errSequence) {
		return fmt.Errorf("appending to the log of partition %d: %w", l.number, err)
	}
	// The log has grown: by this very message, whose acknowledgement was lost, or by another owner's.
	found, sequence, err := lastEntry(ctx, l.store, l.number)
	if err != nil {
		return err
	}
	if found.Owner != l.owner || found.Batch != l.batch {
		return errFenced
	}
	l.last, l.batch = sequence, l.batch+1
	return nil
}

// lastEntry decodes the last message of a partition's log; sequence 0: there is none.
func lastEntry(ctx context.Context, s logStore, number int) (entry, uint64, error) {
	data, sequence, err := s.last(ctx, number)
	return decodeEntry(data, sequence, err)
}

func decodeEntry(data []byte, sequence uint64, err error) (entry, uint64, error) {
	var m entry
	if err != nil || sequence == 0 {
		return m, sequence, err
	}
	if err := json.Unmarshal(data, &m); err != nil {
		return m, 0, fmt.Errorf("decoding message %d of the log: %w", sequence, err)
	}
	return m, sequence, nil
}

// readLog passes the messages of a partition's log after one sequence and before another to visit, in order.
func readLog(ctx context.Context, s logStore, number int, after, before uint64, visit func(m entry) error) error {
	for {
		m, sequence, err := decodeEntry(s.next(ctx, number, after+1))
		if err != nil || sequence == 0 || sequence >= before {
			return err
		}
		if err := visit(m); err != nil {
			return err
		}
		after = sequence
	}
}

// streamLog keeps the logs in the stream WORKFLOW_LOG, a subject for each partition.
type streamLog struct {
	conn   *mesh.Conn
	stream jetstream.Stream
}

func (s streamLog) append(ctx context.Context, number int, data []byte, after uint64) (uint64, error) {
	ack, err := s.conn.JS.PublishMsg(ctx, &nats.Msg{Subject: subjects.WorkflowLogSubject(number), Data: data},
		jetstream.WithExpectLastSequencePerSubject(after), jetstream.WithExpectStream(subjects.WorkflowLog.Name), jetstream.WithRetryAttempts(0))
	if isWrongSequence(err) {
		return 0, errSequence
	}
	if err != nil {
		return 0, err
	}
	return ack.Sequence, nil
}

func (s streamLog) last(ctx context.Context, number int) ([]byte, uint64, error) {
	return getMessage(ctx, s.conn, subjects.WorkflowLog.GetSubject(), map[string]any{"last_by_subj": subjects.WorkflowLogSubject(number)})
}

func (s streamLog) next(ctx context.Context, number int, from uint64) ([]byte, uint64, error) {
	return getMessage(ctx, s.conn, subjects.WorkflowLog.GetSubject(), map[string]any{"seq": from, "next_by_subj": subjects.WorkflowLogSubject(number)})
}

func (s streamLog) truncate(ctx context.Context, number int, before uint64) error {
	ctx, cancel := context.WithTimeout(ctx, logTimeout)
	defer cancel()
	err := s.stream.Purge(ctx, jetstream.WithPurgeSubject(subjects.WorkflowLogSubject(number)), jetstream.WithPurgeSequence(before))
	if err != nil {
		return fmt.Errorf("truncating the log of partition %d: %w", number, err)
	}
	return nil
}

// isWrongSequence reports whether the server refused a publish because of its expected last sequence.
func isWrongSequence(err error) bool {
	var api *jetstream.APIError
	return errors.As(err, &api) && api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequence
}

// noSuchMessage is the server's code for a message that is not there.
const noSuchMessage = 10037

// getMessage reads one message of a stream by a query of the JetStream API; sequence 0: there is none. It asks the stream's
// leader: a replica may lag, and a call whose result is missed would be made again.
func getMessage(ctx context.Context, conn *mesh.Conn, subject string, query map[string]any) (data []byte, sequence uint64, err error) {
	ctx, cancel := context.WithTimeout(ctx, logTimeout)
	defer cancel()
	body, err := json.Marshal(query)
	if err != nil {
		return nil, 0, fmt.Errorf("encoding a request: %w", err)
	}
	answer, err := conn.RequestWithContext(ctx, subject, body)
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
		Code: subjects.CodeUnavailable, Detail: "the history cannot be read right now", RetryAfter: subjects.RetrySoon,
		Cause: fmt.Errorf("reading a log: %w", err),
	}
}
