package mesh

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nuid"
)

const (
	// snapshotChunk is the size of a chunk of a snapshot in bytes, and snapshotWindow how many bytes the server sends without an
	// acknowledgement.
	snapshotChunk  = 128 << 10
	snapshotWindow = 1 << 20
	// snapshotSilence is after what time without a chunk a snapshot has failed, and restoreSilence that of a restore, whose last answer comes
	// when the server has stored everything.
	snapshotSilence = 30 * time.Second
	restoreSilence  = 10 * time.Minute
)

// StreamSnapshot describes a snapshot of a stream: the stream at one point in time.
type StreamSnapshot struct {
	// Config is the stream's configuration as the server has sent it, with settings that this version may not know.
	Config json.RawMessage `json:"config"`
	// State is the stream's state at that point.
	State struct {
		Messages uint64    `json:"messages"`
		Bytes    uint64    `json:"bytes"`
		FirstSeq uint64    `json:"first_seq"`
		LastSeq  uint64    `json:"last_seq"`
		LastTime time.Time `json:"last_ts"`
	} `json:"state"`
}

// SnapshotStream reads a snapshot of a stream, as the NATS user backup: the stream and its consumers as of the moment at which started is called. It
// writes what the server sends to w: an S2 stream of NATS's archive format, which nats-server 2.15 and later make. Messages that are deleted
// while it is read may be missing.
func (c *Conn) SnapshotStream(ctx context.Context, stream string, started func(StreamSnapshot), w io.Writer) error {
	deliver := InboxPrefix(c.User) + ".snapshot." + nuid.Next()
	chunks, err := c.SubscribeSync(deliver)
	if err != nil {
		return fmt.Errorf("subscribing to the snapshot of %s: %w", stream, err)
	}
	defer func() { _ = chunks.Unsubscribe() }()
	if err := chunks.SetPendingLimits(-1, 4*snapshotWindow); err != nil {
		return fmt.Errorf("subscribing to the snapshot of %s: %w", stream, err)
	}
	var answer struct {
		Error *jetstream.APIError `json:"error"`
		StreamSnapshot
	}
	body := map[string]any{"deliver_subject": deliver, "chunk_size": snapshotChunk, "window_size": snapshotWindow}
	if err := c.ask(ctx, c.JS.identity.privileged("STREAM.SNAPSHOT."+stream), body, &answer); err != nil {
		return fmt.Errorf("requesting a snapshot of %s: %w", stream, err)
	}
	if answer.Error != nil {
		return fmt.Errorf("requesting a snapshot of %s: %w", stream, answer.Error)
	}
	started(answer.StreamSnapshot)
	for {
		chunk, err := nextChunk(ctx, chunks)
		if err != nil {
			return fmt.Errorf("reading the snapshot of %s: %w", stream, err)
		}
		if len(chunk.Data) == 0 {
			if status := chunk.Header.Get("Status"); status != "" && status != "204" {
				return fmt.Errorf("reading the snapshot of %s: the server ended it: %s %s", stream, status, chunk.Header.Get("Description"))
			}
			return nil
		}
		if _, err := w.Write(chunk.Data); err != nil {
			return fmt.Errorf("writing the snapshot of %s: %w", stream, err)
		}
		if chunk.Reply != "" {
			if err := c.Publish(chunk.Reply, nil); err != nil {
				return fmt.Errorf("reading the snapshot of %s: %w", stream, err)
			}
		}
	}
}

func nextChunk(ctx context.Context, chunks *nats.Subscription) (*nats.Msg, error) {
	bounded, cancel := context.WithTimeout(ctx, snapshotSilence)
	defer cancel()
	chunk, err := chunks.NextMsgWithContext(bounded)
	if err != nil && ctx.Err() == nil && bounded.Err() != nil {
		return nil, fmt.Errorf("the server has sent nothing for %s", snapshotSilence)
	}
	return chunk, err
}

// StoredMessage is a message that a stream holds.
type StoredMessage struct {
	Subject  string    `json:"subject"`
	Sequence uint64    `json:"seq"`
	Header   []byte    `json:"hdrs"`
	Data     []byte    `json:"data"`
	Time     time.Time `json:"time"`
}

// noSuchMessage is the server's code for a message that a stream does not have.
const noSuchMessage jetstream.ErrorCode = 10037

// NextMessage reads the first message of a stream whose sequence is at least from, as its leader has it. found is false if there is none.
func (c *Conn) NextMessage(ctx context.Context, stream string, from uint64) (m StoredMessage, found bool, err error) {
	var answer struct {
		Error   *jetstream.APIError `json:"error"`
		Message StoredMessage       `json:"message"`
	}
	if err := c.ask(ctx, getSubject(stream), map[string]any{"seq": from, "next_by_subj": ">"}, &answer); err != nil {
		return m, false, fmt.Errorf("reading %s: %w", stream, err)
	}
	switch {
	case answer.Error == nil:
		return answer.Message, true, nil
	case answer.Error.ErrorCode == noSuchMessage:
		return m, false, nil
	}
	return m, false, fmt.Errorf("reading %s: %w", stream, answer.Error)
}

// RestoreStream creates a stream, which must not exist, from a snapshot that r has in the format of SnapshotStream, as the NATS user migrate.
func (c *Conn) RestoreStream(ctx context.Context, stream string, snapshot StreamSnapshot, r io.Reader) error {
	var answer struct {
		Error   *jetstream.APIError `json:"error"`
		Deliver string              `json:"deliver_subject"`
	}
	if err := c.ask(ctx, c.JS.identity.privileged("STREAM.RESTORE."+stream), snapshot, &answer); err != nil {
		return fmt.Errorf("requesting the restore of %s: %w", stream, err)
	}
	if answer.Error != nil {
		return fmt.Errorf("requesting the restore of %s: %w", stream, answer.Error)
	}
	chunk := make([]byte, snapshotChunk)
	for {
		n, err := io.ReadFull(r, chunk)
		if n > 0 {
			if err := c.sendChunk(ctx, answer.Deliver, chunk[:n]); err != nil {
				return fmt.Errorf("restoring %s: %w", stream, err)
			}
		}
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			break
		}
		if err != nil {
			return fmt.Errorf("restoring %s: %w", stream, err)
		}
	}
	if err := c.sendChunk(ctx, answer.Deliver, nil); err != nil {
		return fmt.Errorf("restoring %s: %w", stream, err)
	}
	return nil
}

// sendChunk sends a part of a snapshot, or nothing to end it, and returns once the server has accepted it.
func (c *Conn) sendChunk(ctx context.Context, subject string, chunk []byte) error {
	ctx, cancel := context.WithTimeout(ctx, restoreSilence)
	defer cancel()
	reply, err := c.RequestWithContext(ctx, subject, chunk)
	if err != nil || len(bytes.TrimSpace(reply.Data)) == 0 {
		return err
	}
	return answerError(reply.Data)
}

// ask makes a request to JetStream's API and decodes the answer.
func (c *Conn) ask(ctx context.Context, subject string, body, answer any) error {
	data, err := json.Marshal(body)
	if err != nil {
		return fmt.Errorf("encoding a request: %w", err)
	}
	if _, bounded := ctx.Deadline(); !bounded {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, snapshotSilence)
		defer cancel()
	}
	reply, err := c.RequestWithContext(ctx, subject, data)
	if err != nil {
		return errors.Join(err, c.LastError())
	}
	if err := json.Unmarshal(reply.Data, answer); err != nil {
		return fmt.Errorf("decoding an answer of JetStream: %w", err)
	}
	return nil
}
