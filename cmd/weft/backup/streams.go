package backup

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/klauspost/compress/s2"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats-server/v2/server/archive"

	"github.com/weftmesh/weft/mesh"
)

const (
	// stateEntry is the first entry of a stream's snapshot, consumerPrefix begins those of its consumers.
	stateEntry     = "state.json"
	consumerPrefix = "consumers/"
	// maxStateEntry bounds one of them in bytes.
	maxStateEntry = 64 << 20
)

// capture is a stream that is being read.
type capture struct {
	Stream
	members []Member
	// settled is closed when what the moment needs has been read: the positions of the consumers, and everything of streams that messages leave and of
	// buckets that follow from a database.
	settled chan struct{}
	// started is closed when the server has fixed the stream's state.
	started chan struct{}
}

// read reads a stream into the spool: its snapshot, and what was added to a bucket while that was read.
func (c *capture) read(ctx context.Context, conn *mesh.Conn, s *spool) error {
	defer c.settle()
	member, err := s.write(streamMember(c.Name), true, func(w io.Writer) error { return c.readSnapshot(ctx, conn, w) })
	if err != nil {
		return err
	}
	c.members = append(c.members, member)
	if !isBucket(c.Name) {
		return nil
	}
	member, err = s.write(addedMember(c.Name), true, func(w io.Writer) error { return c.readAdded(ctx, conn, w) })
	if err == nil && c.Added > 0 {
		c.members = append(c.members, member)
	}
	return err
}

func (c *capture) settle() {
	select {
	case <-c.settled:
	default:
		close(c.settled)
	}
}

func (c *capture) readSnapshot(ctx context.Context, conn *mesh.Conn, w io.Writer) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	chunks, received := io.Pipe()
	failed := make(chan error, 1)
	go func() {
		err := conn.SnapshotStream(ctx, c.Name, func(snapshot mesh.StreamSnapshot) {
			c.Snapshot, c.LastSeq = snapshot, snapshot.State.LastSeq
			close(c.started)
		}, received)
		failed <- err
		received.CloseWithError(err)
	}()
	err := c.copySnapshot(s2.NewReader(chunks), w)
	if err == nil {
		_, err = io.Copy(io.Discard, chunks) // to the server's end
	}
	chunks.CloseWithError(err)
	cancelled := err != nil
	if cancelled {
		cancel()
	}
	if asked := <-failed; asked != nil && (!cancelled || !errors.Is(asked, context.Canceled)) {
		return asked // what the server said
	}
	return err
}

// copySnapshot copies an archive of NATS and leaves out its ephemeral consumers.
func (c *capture) copySnapshot(r io.Reader, w io.Writer) error {
	in, out := archive.NewReader(r), archive.NewWriter(w)
	header, err := in.Next()
	if errors.Is(err, archive.ErrInvalidArchive) {
		return fmt.Errorf("the server sends the snapshot of %s in another format: nats-server must be 2.15 or later", c.Name)
	}
	if err != nil || header.Name != stateEntry {
		return fmt.Errorf("the snapshot of %s does not begin with its state: %w", c.Name, err)
	}
	var state server.StreamState
	if err := decodeEntry(in, header, &state); err != nil {
		return err
	}
	var durables []server.SnapshotConsumerState
	for range state.Consumers {
		if header, err = in.Next(); err != nil || !strings.HasPrefix(header.Name, consumerPrefix) {
			return fmt.Errorf("the snapshot of %s does not have all consumers: %w", c.Name, err)
		}
		var consumer server.SnapshotConsumerState
		if err := decodeEntry(in, header, &consumer); err != nil {
			return err
		}
		if consumer.ConsumerConfig != nil && consumer.ConsumerState != nil && consumer.Durable != "" {
			durables = append(durables, consumer)
			c.Durables = append(c.Durables, Durable{Name: consumer.Durable, AckFloor: consumer.AckFloor.Stream, Pending: len(consumer.Pending)})
		}
	}
	state.Consumers = len(durables)
	if err := encodeEntry(out, stateEntry, state); err != nil {
		return err
	}
	for _, consumer := range durables {
		if err := encodeEntry(out, consumerPrefix+consumer.Durable, consumer); err != nil {
			return err
		}
	}
	if !isConsumed(c.Name) && !isDerived(c.Name) {
		c.settle()
	}
	c.Messages, err = copyMessages(in, out)
	return err
}

func decodeEntry(in *archive.Reader, header *archive.Header, value any) error {
	if header.PayloadSize > maxStateEntry {
		return fmt.Errorf("%w: %s has %d bytes", ErrDamaged, header.Name, header.PayloadSize)
	}
	data, err := io.ReadAll(in)
	if err == nil {
		err = json.Unmarshal(data, value)
	}
	if err != nil {
		return fmt.Errorf("%w: decoding %s: %w", ErrDamaged, header.Name, err)
	}
	return nil
}

func encodeEntry(out *archive.Writer, name string, value any) error {
	data, err := json.Marshal(value)
	if err == nil {
		err = out.WriteHeader(&archive.Header{Name: name, PayloadSize: int64(len(data))})
	}
	if err == nil {
		_, err = out.Write(data)
	}
	if err != nil {
		return fmt.Errorf("encoding %s: %w", name, err)
	}
	return nil
}

// isEnd reports whether an entry is the last one of an archive.
func isEnd(h *archive.Header) bool { return *h == archive.Header{} }

// copyMessages copies messages up to and including the end of the archive, and returns their number.
func copyMessages(in *archive.Reader, out *archive.Writer) (n uint64, err error) {
	for {
		header, err := in.Next()
		if err != nil {
			return n, fmt.Errorf("%w: a stream ends without its last entry: %w", ErrDamaged, err)
		}
		if err := out.WriteHeader(header); err != nil {
			return n, err
		}
		if isEnd(header) {
			return n, nil
		}
		if _, err := io.Copy(out, in); err != nil {
			return n, err
		}
		n++
	}
}

// readAdded reads what was added to a bucket after its snapshot's moment, to the end. A key that is changed while the snapshot is read is in neither
// value there: its owner deletes the earlier value, and the later one is not of the snapshot. The last message of each key is among
// those that are there when the end is reached, or was read before.
func (c *capture) readAdded(ctx context.Context, conn *mesh.Conn, w io.Writer) error {
	out := archive.NewWriter(w)
	for {
		m, found, err := conn.NextMessage(ctx, c.Name, c.LastSeq+1)
		if err != nil {
			return err
		}
		header := &archive.Header{}
		if found {
			header = &archive.Header{
				Name: m.Subject, Sequence: m.Sequence, Timestamp: m.Time.UnixNano(),
				HeaderSize: int64(len(m.Header)), PayloadSize: int64(len(m.Data)),
			}
		}
		if err := out.WriteHeader(header); err != nil || !found {
			return err
		}
		for _, part := range [][]byte{m.Header, m.Data} {
			if _, err := out.Write(part); err != nil {
				return err
			}
		}
		c.LastSeq = m.Sequence
		c.Added++
	}
}
