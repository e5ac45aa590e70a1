package workflow

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/weftmesh/weft/actors/workflow/machine"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

// byControl marks turns that a request appended, and no worker.
const byControl = "control"

// logTimeout bounds one append or read of a log.
const logTimeout = 5 * time.Second

// logRoom is what a message of the log needs besides its events.
const logRoom = 4 << 10

var (
	// errConflict: the log has grown since it was read.
	errConflict = errors.New("the log has grown")
	// errEventSize: an event is larger than a message can be.
	errEventSize = errors.New("an event is larger than a message of the log")
)

// turn is one message of a log: what a worker or a request decided at once.
type turn struct {
	// By is who appended it: a worker's run, or byControl.
	By string `json:"by"`
	// Status is the execution's after the turn.
	Status machine.Status    `json:"status"`
	Events []json.RawMessage `json:"events"`

	sequence uint64
}

// decoded are the turn's events.
func (t turn) decoded() ([]machine.Event, error) {
	events := make([]machine.Event, len(t.Events))
	for i, raw := range t.Events {
		if err := json.Unmarshal(raw, &events[i]); err != nil {
			return nil, fmt.Errorf("decoding an event: %w", err)
		}
	}
	return events, nil
}

// appendTurn appends a turn after the message of sequence last (0: none), as several messages where it is large. It
// returns the sequence of the last one. errConflict: somebody else has appended; any other error leaves open
// whether the turn was appended, as a whole or its beginning.
func (a *Actor) appendTurn(ctx context.Context, id string, last uint64, t turn, kinds []machine.EventType) (uint64, error) {
	limit := int(a.Conn.MaxPayload()) - logRoom
	for len(t.Events) > 0 {
		size, count := 0, 0
		for count < len(t.Events) && size+len(t.Events[count]) < limit {
			size += len(t.Events[count]) + 1
			count++
		}
		if count == 0 {
			return last, errEventSize
		}
		part := turn{By: t.By, Status: t.Status, Events: t.Events[:count]}
		if count < len(t.Events) {
			part.Status = machine.Running
		}
		sequence, err := a.appendMessage(ctx, id, last, part, kinds[count-1])
		if err != nil {
			return last, err
		}
		last, t.Events, kinds = sequence, t.Events[count:], kinds[count:]
	}
	return last, nil
}

func (a *Actor) appendMessage(ctx context.Context, id string, last uint64, t turn, kind machine.EventType) (uint64, error) {
	data, err := json.Marshal(t)
	if err != nil {
		return 0, fmt.Errorf("encoding a turn: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, logTimeout)
	defer cancel()
	ack, err := a.Conn.JS.PublishMsg(ctx, &nats.Msg{
		Subject: subjects.HistorySubject(id), Data: data, Header: nats.Header{mesh.HeaderEvent: {string(kind)}},
	}, jetstream.WithExpectLastSequencePerSubject(last), jetstream.WithExpectStream(subjects.WorkflowHistory.Name))
	var api *jetstream.APIError
	if errors.As(err, &api) && api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequence {
		return 0, errConflict
	}
	if err != nil {
		return 0, &subjects.Error{
			Code: subjects.CodeUnavailable, Detail: "the history cannot be written right now", RetryAfter: time.Second,
			Cause: fmt.Errorf("appending to the history of %s: %w", id, err),
		}
	}
	return ack.Sequence, nil
}

// readLog reads an execution's turns after the message of sequence last, in order. It asks the stream's leader: a
// replica may lag, and a result that is missed is a step done twice.
func (a *Actor) readLog(ctx context.Context, id string, last uint64) ([]turn, error) {
	var turns []turn
	for {
		data, sequence, err := a.nextMessage(ctx, id, last+1)
		if err != nil || sequence == 0 {
			return turns, err
		}
		t := turn{sequence: sequence}
		if err := json.Unmarshal(data, &t); err != nil {
			return nil, fmt.Errorf("decoding a turn of %s: %w", id, err)
		}
		turns, last = append(turns, t), sequence
	}
}

const noSuchMessage = 10037

// nextMessage reads the log's first message from a sequence on; sequence 0 is none.
func (a *Actor) nextMessage(ctx context.Context, id string, from uint64) (data []byte, sequence uint64, err error) {
	return a.getMessage(ctx, map[string]any{"seq": from, "next_by_subj": subjects.HistorySubject(id)})
}

// lastTurn reads the log's last turn; sequence 0 is none.
func (a *Actor) lastTurn(ctx context.Context, id string) (turn, error) {
	data, sequence, err := a.getMessage(ctx, map[string]any{"last_by_subj": subjects.HistorySubject(id)})
	t := turn{sequence: sequence}
	if err != nil || sequence == 0 {
		return t, err
	}
	if err := json.Unmarshal(data, &t); err != nil {
		return t, fmt.Errorf("decoding a turn of %s: %w", id, err)
	}
	return t, nil
}

func (a *Actor) getMessage(ctx context.Context, query map[string]any) (data []byte, sequence uint64, err error) {
	ctx, cancel := context.WithTimeout(ctx, logTimeout)
	defer cancel()
	body, err := json.Marshal(query)
	if err != nil {
		return nil, 0, fmt.Errorf("encoding a query: %w", err)
	}
	answer, err := a.Conn.RequestWithContext(ctx, subjects.WorkflowHistory.GetSubject(), body)
	if err != nil {
		return nil, 0, unreadable(err)
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
		return nil, 0, unreadable(err)
	}
	if reply.Error != nil {
		if reply.Error.ErrorCode == noSuchMessage {
			return nil, 0, nil
		}
		return nil, 0, unreadable(errors.New(strconv.Itoa(reply.Error.ErrorCode) + " " + reply.Error.Description))
	}
	return reply.Message.Data, reply.Message.Sequence, nil
}

func unreadable(err error) error {
	return &subjects.Error{
		Code: subjects.CodeUnavailable, Detail: "the history cannot be read right now", RetryAfter: time.Second,
		Cause: fmt.Errorf("reading a history: %w", err),
	}
}

// encodeEvents renders events, and tells their types.
func encodeEvents(events []machine.Event) (raw []json.RawMessage, kinds []machine.EventType, err error) {
	for _, event := range events {
		data, err := json.Marshal(event)
		if err != nil {
			return nil, nil, fmt.Errorf("encoding an event: %w", err)
		}
		raw, kinds = append(raw, data), append(kinds, event.Type)
	}
	return raw, kinds, nil
}

// flatten joins the turns of a log.
func flatten(turns []turn) (raw []json.RawMessage, events []machine.Event, err error) {
	for _, t := range turns {
		decoded, err := t.decoded()
		if err != nil {
			return nil, nil, err
		}
		raw, events = append(raw, t.Events...), append(events, decoded...)
	}
	return raw, events, nil
}
