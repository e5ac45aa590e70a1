package backup

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/s2"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats-server/v2/server/archive"
	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"

	"github.com/weftmesh/weft/mesh"
)

// ErrNotEmpty means that a restore would mix with what is there.
var ErrNotEmpty = errors.New("a restore needs an empty place")

// RestoreStreams creates every stream and bucket of an archive with its messages, sequences and durables, as the NATS user migrate. None of them may exist.
// replicas is the number of copies of each.
func (a *Archive) RestoreStreams(ctx context.Context, conn *mesh.Conn, replicas int, say func(string)) error {
	for _, s := range a.Manifest.Streams {
		if _, err := conn.JS.Stream(ctx, s.Name); !errors.Is(err, jetstream.ErrStreamNotFound) {
			if err == nil {
				err = fmt.Errorf("%w: the NATS server has the stream %s already", ErrNotEmpty, s.Name)
			}
			return err
		}
	}
	all, ctx := errgroup.WithContext(ctx)
	all.SetLimit(restoredAtOnce)
	for _, s := range a.Manifest.Streams {
		all.Go(func() error {
			err := a.restoreStream(ctx, conn, s, replicas)
			if err == nil {
				say(fmt.Sprintf("restored %s: %d messages", s.Name, s.Messages+s.Added))
			}
			return err
		})
	}
	return all.Wait()
}

// restoredAtOnce is how many streams are restored at the same time. On a cluster most of the time is waiting for leaders.
const restoredAtOnce = 4

func (a *Archive) restoreStream(ctx context.Context, conn *mesh.Conn, s Stream, replicas int) error {
	snapshot := s.Snapshot
	var err error
	if snapshot.Config, err = withReplicas(snapshot.Config, replicas); err != nil {
		return fmt.Errorf("%w: the configuration of %s: %w", ErrDamaged, s.Name, err)
	}
	reading, cancel := context.WithCancel(ctx)
	defer cancel()
	out, in := io.Pipe()
	written := make(chan error, 1)
	go func() {
		err := a.writeSnapshot(reading, s, in)
		in.CloseWithError(err)
		written <- err
	}()
	err = conn.RestoreStream(ctx, s.Name, snapshot, out)
	out.CloseWithError(errors.Join(err, io.ErrClosedPipe))
	cancel()
	if failure := <-written; err == nil && failure != nil {
		err = failure
	}
	if err != nil {
		return err
	}
	stream, err := conn.JS.Stream(ctx, s.Name)
	if err != nil {
		return fmt.Errorf("looking at %s after its restore: %w", s.Name, err)
	}
	if last := stream.CachedInfo().State.LastSeq; last != s.LastSeq {
		return fmt.Errorf("%s was restored up to %d instead of %d", s.Name, last, s.LastSeq)
	}
	return nil
}

// withReplicas sets the number of copies. A single server has no place to choose.
func withReplicas(config json.RawMessage, replicas int) (json.RawMessage, error) {
	var settings map[string]any
	if err := json.Unmarshal(config, &settings); err != nil {
		return nil, err
	}
	settings["num_replicas"] = replicas
	if replicas == 1 {
		delete(settings, "placement")
	}
	return json.Marshal(settings)
}

// writeSnapshot writes a stream in the format of NATS: with what was added, so that its last sequence is that of all.
func (a *Archive) writeSnapshot(ctx context.Context, s Stream, w io.Writer) error {
	compressed := s2.NewWriter(w, s2.WriterConcurrency(1))
	out := archive.NewWriter(compressed)
	err := a.readStream(ctx, s, func(state server.StreamState, durables []server.SnapshotConsumerState) error {
		if state.LastSeq = s.LastSeq; state.FirstSeq == 0 && s.LastSeq > 0 {
			state.FirstSeq = 1
		}
		if err := encodeEntry(out, stateEntry, state); err != nil {
			return err
		}
		for _, durable := range durables {
			if err := encodeEntry(out, consumerPrefix+durable.Durable, durable); err != nil {
				return err
			}
		}
		return nil
	}, func(in *archive.Reader, h *archive.Header) error {
		err := out.WriteHeader(h)
		if err == nil {
			_, err = io.Copy(out, in)
		}
		return err
	})
	if err == nil {
		err = out.WriteHeader(&archive.Header{})
	}
	return errors.Join(err, compressed.Close())
}
