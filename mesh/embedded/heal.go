package embedded

import (
	"context"
	"os"
	"path/filepath"
	"time"
)

const (
	// healPoll is the time between two looks at whether a disk that was full has room again.
	healPoll = time.Second
	// healRoom is how much room there must be for the server to be started anew.
	healRoom = 16 << 20
)

// heal starts the server anew when a disk that was full has room again: a stream whose file could once not be written is
// not written any more by that server. Clients connect again by themselves. It ends with ctx.
func (s *Server) heal(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.log.full:
		}
		s.log.log.Errorf("the disk of %s is full: weft answers with unavailable until it has room", s.store)
		for !hasRoom(s.store, healRoom) {
			select {
			case <-ctx.Done():
				return
			case <-time.After(healPoll):
			}
		}
		for {
			err := s.restart(ctx)
			if err == nil || ctx.Err() != nil {
				break
			}
			s.log.log.Errorf("starting the NATS server anew: %v", err)
			select {
			case <-ctx.Done():
				return
			case <-time.After(healPoll):
			}
		}
	}
}

// restart stops the server and starts it anew on the same addresses.
func (s *Server) restart(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	s.nats.Shutdown()
	s.nats.WaitForShutdown()
	select {
	case <-s.log.full: // what the old one said last
	default:
	}
	nats, err := run(ctx, s.options.Clone(), s.log)
	if err != nil {
		return err
	}
	s.nats = nats
	s.log.log.Infof("the disk of %s has room again: the NATS server is started anew", s.store)
	return nil
}

// hasRoom tells whether so many bytes can be written to a folder.
func hasRoom(dir string, bytes int) bool {
	path := filepath.Join(dir, ".room")
	err := os.WriteFile(path, make([]byte, bytes), 0o600)
	return os.Remove(path) == nil && err == nil
}
