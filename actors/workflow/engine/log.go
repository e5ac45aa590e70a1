package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"
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
	// whether the message was added. It does not retain data.
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
	// buffer is what messages are encoded into, one after the other.
	buffer []byte
}

// maxEntryBuffer bounds the memory that a log keeps for its next message, in bytes.
const maxEntryBuffer = 64 << 10

// append appends one message after the last one that its owner knows. It returns nil once the message is in the log, errFenced if
// another owner's is there instead. After any other error the outcome is unknown, and the next append must be of the same batch.
func (l *partitionLog) append(ctx context.Context, transitions []pendingTransition) error {
	ctx, cancel := context.WithTimeout(ctx, logTimeout)
	defer cancel()
	data := appendEntry(l.buffer[:0], l.owner, l.batch, transitions)
	sequence, err := l.store.append(ctx, l.number, data, l.last)
	if cap(data) <= maxEntryBuffer {
		l.buffer = data
	}
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
