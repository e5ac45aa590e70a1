package runtime

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/subjects"
)

const (
	// deadLetterTimeout bounds the publishing of a dead letter.
	deadLetterTimeout = 5 * time.Second
	// deadLetterRetry is the delay before a message is delivered again whose dead letter could not be published.
	deadLetterRetry = time.Minute
	// maxDeadLetterError bounds the error text of a dead letter, in bytes.
	maxDeadLetterError = 4 << 10
	// maxDeadLetterText bounds the text that a dead letter keeps of a message that is not JSON, in bytes.
	maxDeadLetterText = 64 << 10
)

// deadLetter publishes a message that is not handled again, with its error. Repetitions have the same id.
func (r *Runtime) deadLetter(w actors.Worker, d *delivery, err error) error {
	data, e := json.Marshal(subjects.DeadLetter{
		Stream: w.Consumer.Stream, Sequence: d.sequence, Subject: d.subject, Durable: w.Consumer.Durable,
		Error: truncate(err.Error(), maxDeadLetterError), Tries: d.tries, Time: r.Now().UTC(), Data: deadLetterData(d.data),
	})
	if e != nil {
		return fmt.Errorf("encoding a dead letter: %w", e)
	}
	ctx, cancel := context.WithTimeout(context.Background(), deadLetterTimeout)
	defer cancel()
	// The id is derived from a secret: if others could know it, they could have the server take this letter for a repetition of theirs.
	id := r.Conn.JS.Token(fmt.Sprintf("%s.%s.%d", w.Consumer.Stream, w.Consumer.Durable, d.sequence))
	_, e = r.Conn.JS.PublishMsg(ctx, &nats.Msg{Subject: w.Consumer.DeadSubject(), Data: data, Header: nats.Header{jetstream.MsgIDHeader: {id}}})
	if e == nil {
		r.metrics.deadLetters.WithLabelValues(w.Consumer.Durable).Inc()
	}
	return e
}

// deadLetterData returns a message's data if it is JSON, and otherwise its truncated text as a JSON string.
func deadLetterData(data []byte) json.RawMessage {
	if json.Valid(data) {
		return data
	}
	text, err := json.Marshal(truncate(string(data), maxDeadLetterText))
	if err != nil {
		return json.RawMessage(`null`)
	}
	return text
}

// truncate returns the first limit bytes of s. Encoding as JSON replaces a character that was cut.
func truncate(s string, limit int) string { return s[:min(len(s), limit)] }
