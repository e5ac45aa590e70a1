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
	"go.uber.org/zap"

	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

// streamLog keeps the logs in the stream WORKFLOW_LOG, a subject for each partition.
//
// Anybody who may read some stream can have the server copy a message to a log's subject (docs/adr/0010). A message is part of the log only
// if the workflow actor has signed it, and it can be decoded. All others are passed over, by every reader alike.
type streamLog struct {
	conn   *mesh.Conn
	logger *zap.Logger
}

func (s streamLog) append(ctx context.Context, number int, data []byte, after uint64) (uint64, error) {
	message := &nats.Msg{Subject: subjects.WorkflowLogSubject(number), Data: data, Header: nats.Header{
		jetstream.ExpectedStreamHeader: {subjects.WorkflowLog.Name},
	}}
	expect := after
	for {
		message.Header.Set(jetstream.ExpectedLastSubjSeqHeader, strconv.FormatUint(expect, 10))
		ack, err := s.conn.JS.PublishMsg(ctx, message, jetstream.WithRetryAttempts(0))
		if err == nil {
			return ack.Sequence, nil
		}
		if !isWrongSequence(err) {
			return 0, err
		}
		// The log's own messages after the expected one refuse the append; others do not.
		_, own, last, err := s.scan(ctx, number, after+1)
		if err != nil {
			return 0, err
		}
		if own > 0 || last <= expect {
			return 0, errSequence
		}
		expect = last
	}
}

func (s streamLog) last(ctx context.Context, number int) ([]byte, uint64, error) {
	m, err := getMessage(ctx, s.conn, subjects.WorkflowLog.GetSubject(), map[string]any{"last_by_subj": subjects.WorkflowLogSubject(number)})
	if err != nil || m.sequence == 0 || s.authentic(m) {
		return m.data, m.sequence, err
	}
	var data []byte
	var sequence uint64
	for from := uint64(1); from < m.sequence; from = sequence + 1 {
		next, found, _, err := s.scan(ctx, number, from)
		if err != nil || found == 0 {
			return data, sequence, err
		}
		data, sequence = next, found
	}
	return data, sequence, nil
}

func (s streamLog) next(ctx context.Context, number int, from uint64) ([]byte, uint64, error) {
	data, sequence, _, err := s.scan(ctx, number, from)
	return data, sequence, err
}

// scan returns the first message of a partition's log from a sequence on, and otherwise the sequence of the last message on its subject that is
// not part of the log. Sequence 0: there is none.
func (s streamLog) scan(ctx context.Context, number int, from uint64) (data []byte, sequence, foreign uint64, err error) {
	for {
		m, err := getMessage(ctx, s.conn, subjects.WorkflowLog.GetSubject(), map[string]any{
			"seq": from, "next_by_subj": subjects.WorkflowLogSubject(number),
		})
		if err != nil || m.sequence == 0 {
			return nil, 0, foreign, err
		}
		if s.authentic(m) {
			return m.data, m.sequence, foreign, nil
		}
		foreign, from = m.sequence, m.sequence+1
	}
}

// authentic reports whether a message is part of the log.
func (s streamLog) authentic(m streamMessage) bool {
	if m.verify(s.conn) != nil {
		return false // counted and logged by the connection
	}
	if _, _, err := decodeEntry(m.data, m.sequence, nil); err != nil {
		s.logger.Error("a message of the log is passed over", zap.String("subject", m.subject), zap.Error(err))
		return false
	}
	return true
}

func (s streamLog) truncate(ctx context.Context, number int, before uint64) error {
	ctx, cancel := context.WithTimeout(ctx, logTimeout)
	defer cancel()
	if err := s.conn.JS.Purge(ctx, subjects.WorkflowLog.Name, subjects.WorkflowLogSubject(number), before); err != nil {
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

// streamMessage is a message that a stream holds; sequence 0: there is none.
type streamMessage struct {
	subject  string
	header   nats.Header
	data     []byte
	sequence uint64
	stored   time.Time
}

// verify returns an error unless the stream's author published the message.
func (m streamMessage) verify(conn *mesh.Conn) error {
	return conn.JS.VerifyStored(m.subject, m.header, m.data, m.stored)
}

// getMessage reads one message of a stream by a query of the JetStream API. It asks the stream's leader: a replica may lag, and a call
// whose result is missed would be made again.
func getMessage(ctx context.Context, conn *mesh.Conn, subject string, query map[string]any) (streamMessage, error) {
	ctx, cancel := context.WithTimeout(ctx, logTimeout)
	defer cancel()
	body, err := json.Marshal(query)
	if err != nil {
		return streamMessage{}, fmt.Errorf("encoding a request: %w", err)
	}
	answer, err := conn.RequestWithContext(ctx, subject, body)
	if err != nil {
		return streamMessage{}, logUnreadable(err)
	}
	var reply struct {
		Error *struct {
			ErrorCode   int    `json:"err_code"`
			Description string `json:"description"`
		} `json:"error"`
		Message struct {
			Subject  string    `json:"subject"`
			Sequence uint64    `json:"seq"`
			Header   []byte    `json:"hdrs"`
			Data     []byte    `json:"data"`
			Time     time.Time `json:"time"`
		} `json:"message"`
	}
	if err := json.Unmarshal(answer.Data, &reply); err != nil {
		return streamMessage{}, logUnreadable(err)
	}
	if reply.Error != nil {
		if reply.Error.ErrorCode == noSuchMessage {
			return streamMessage{}, nil
		}
		return streamMessage{}, logUnreadable(errors.New(strconv.Itoa(reply.Error.ErrorCode) + " " + reply.Error.Description))
	}
	m := streamMessage{subject: reply.Message.Subject, data: reply.Message.Data, sequence: reply.Message.Sequence, stored: reply.Message.Time}
	if len(reply.Message.Header) > 0 {
		// A header that cannot be decoded is not one of a message that is verified.
		m.header, _ = nats.DecodeHeadersMsg(reply.Message.Header)
	}
	return m, nil
}

func logUnreadable(err error) error {
	return &subjects.Error{
		Code: subjects.CodeUnavailable, Detail: "the history cannot be read right now", RetryAfter: subjects.RetrySoon,
		Cause: fmt.Errorf("reading a log: %w", err),
	}
}
