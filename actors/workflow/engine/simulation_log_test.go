package engine

import (
	"bytes"
	"context"
	"errors"
	"sync"
	"time"

	"github.com/weftmesh/weft/subjects"
)

// memoryLog is the stream of logs: one sequence over all partitions, as in JetStream.
type memoryLog struct {
	w  *world
	mu sync.Mutex
	// last is the stream's last sequence.
	last  uint64
	parts [subjects.WorkflowPartitions]memoryPartition
}

type memoryPartition struct {
	// messages are those that were not truncated; last is the sequence of the last one ever.
	messages []memoryMessage
	last     uint64
}

type memoryMessage struct {
	sequence uint64
	data     []byte
	entry    entry
}

// store appends a message if the last one has the expected sequence.
func (l *memoryLog) store(p *process, number int, data []byte, after uint64) (uint64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	part := &l.parts[number]
	if part.last != after && l.w.mutation != "no fence" {
		return 0, errSequence
	}
	m, _, err := decodeEntry(data, 1, nil)
	if err != nil {
		l.w.violatef("a message that cannot be decoded: %v: %s", err, data)
		return 0, err
	}
	l.last++
	part.last = l.last
	part.messages = append(part.messages, memoryMessage{l.last, data, m})
	l.w.ledger.appended(p, number, l.last, m)
	return l.last, nil
}

func (l *memoryLog) lastMessage(number int) ([]byte, uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	messages := l.parts[number].messages
	if len(messages) == 0 {
		return nil, 0
	}
	last := messages[len(messages)-1]
	return last.data, last.sequence
}

func (l *memoryLog) from(number int, from uint64) ([]byte, uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, m := range l.parts[number].messages {
		if m.sequence >= from {
			return m.data, m.sequence
		}
	}
	return nil, 0
}

// owner identifies the owner that appended the last message of a partition.
func (l *memoryLog) owner(number int) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	messages := l.parts[number].messages
	if len(messages) == 0 {
		return ""
	}
	return messages[len(messages)-1].entry.Owner
}

// length is the number of messages that a partition's log has.
func (l *memoryLog) length(number int) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.parts[number].messages)
}

// drop removes the messages before a sequence, which SQL must have.
func (l *memoryLog) drop(number int, before uint64) {
	projected := l.w.store.position(number)
	l.mu.Lock()
	defer l.mu.Unlock()
	part := &l.parts[number]
	for len(part.messages) > 0 && part.messages[0].sequence < before {
		if m := part.messages[0]; m.sequence > projected && hasContent(m.entry) {
			l.w.violatef("message %d of partition %d was truncated before it was projected (up to %d)", m.sequence, number, projected)
		}
		part.messages = part.messages[1:]
	}
}

// unprojected counts the messages with content that SQL does not have.
func (l *memoryLog) unprojected(number int) (count int) {
	projected := l.w.store.position(number)
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, m := range l.parts[number].messages {
		if m.sequence > projected && hasContent(m.entry) {
			count++
		}
	}
	return count
}

// hasContent reports whether a message changes an execution; a barrier or an owner's first message does not.
func hasContent(m entry) bool {
	for _, t := range m.Transitions {
		if t.ID != "" {
			return true
		}
	}
	return false
}

// processLog is the log as one process reaches it.
type processLog struct{ p *process }

func (l processLog) append(ctx context.Context, number int, data []byte, after uint64) (uint64, error) {
	if err := l.p.enter(); err != nil {
		return 0, err
	}
	w, data := l.p.w, bytes.Clone(data)
	r := w.random("append/" + l.p.name + "/" + string(rune('0'+number)))
	lost, late := false, false
	if w.faulty(r, w.profile.AppendFault) {
		switch r.IntN(4) {
		case 0:
			time.Sleep(time.Duration(r.IntN(300)) * time.Millisecond)
			return 0, errNetwork // not stored
		case 1:
			late = true // stored, or refused, after the error
		default:
			lost = true // stored, and the acknowledgement is lost
		}
	}
	time.Sleep(w.latency(r, 3*time.Millisecond))
	if late {
		delay := time.Duration(r.IntN(400)) * time.Millisecond
		go func() {
			time.Sleep(delay)
			_, _ = w.log.store(l.p, number, data, after)
		}()
		return 0, errNetwork
	}
	sequence, err := w.log.store(l.p, number, data, after)
	if lost {
		return 0, errNetwork
	}
	time.Sleep(w.latency(r, 3*time.Millisecond))
	if err := l.finish(ctx, err); err != nil {
		return 0, err
	}
	if m, _, err := decodeEntry(data, sequence, nil); err == nil {
		w.ledger.confirm(m.Owner, sequence)
	}
	return sequence, nil
}

// finish is the result of an operation whose effect is over.
func (l processLog) finish(ctx context.Context, err error) error {
	if entered := l.p.enter(); entered != nil {
		return entered
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

// begin starts a read or a truncation.
func (l processLog) begin(ctx context.Context) error {
	if err := l.p.enter(); err != nil {
		return err
	}
	w := l.p.w
	r := w.random("read/" + l.p.name)
	time.Sleep(w.latency(r, 2*time.Millisecond))
	if w.faulty(r, w.profile.ReadFault) {
		return logUnreadable(errors.New("simulated fault"))
	}
	return ctx.Err()
}

func (l processLog) last(ctx context.Context, number int) ([]byte, uint64, error) {
	if err := l.begin(ctx); err != nil {
		return nil, 0, err
	}
	data, sequence := l.p.w.log.lastMessage(number)
	time.Sleep(l.p.w.latency(l.p.w.random("read/"+l.p.name), 2*time.Millisecond))
	return data, sequence, l.finish(ctx, nil)
}

func (l processLog) next(ctx context.Context, number int, from uint64) ([]byte, uint64, error) {
	if err := l.begin(ctx); err != nil {
		return nil, 0, err
	}
	data, sequence := l.p.w.log.from(number, from)
	return data, sequence, l.finish(ctx, nil)
}

func (l processLog) truncate(ctx context.Context, number int, before uint64) error {
	if err := l.begin(ctx); err != nil {
		return err
	}
	l.p.w.log.drop(number, before)
	return l.finish(ctx, nil)
}
