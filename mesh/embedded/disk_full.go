package embedded

import (
	"context"
	"os"
	"path/filepath"
	"time"
)

const (
	// diskPoll is the interval at which a full disk is checked for free space.
	diskPoll = time.Second
	// minFreeSpace is the free space, in bytes, with which the server is restarted.
	minFreeSpace = 16 << 20
)

// restartAfterDiskFull restarts the server when a full disk has space again, because the server does not resume writing to a stream
// after a failed write. Clients reconnect by themselves. It returns when ctx ends.
func (s *Server) restartAfterDiskFull(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.log.full:
		}
		s.log.log.Errorf("the disk of %s is full: requests fail with unavailable until it has free space", s.store)
		for !hasSpace(s.store, minFreeSpace) {
			select {
			case <-ctx.Done():
				return
			case <-time.After(diskPoll):
			}
		}
		for {
			err := s.restart(ctx)
			if err == nil || ctx.Err() != nil {
				break
			}
			s.log.log.Errorf("restarting the NATS server: %v", err)
			select {
			case <-ctx.Done():
				return
			case <-time.After(diskPoll):
			}
		}
	}
}

// restart stops the server and starts it again on the same addresses.
func (s *Server) restart(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	s.nats.Shutdown()
	s.nats.WaitForShutdown()
	select {
	case <-s.log.full: // errors of the stopped server
	default:
	}
	nats, err := run(ctx, s.options.Clone(), s.log)
	if err != nil {
		return err
	}
	s.nats = nats
	s.log.log.Infof("the disk of %s has free space again: the NATS server was restarted", s.store)
	return nil
}

// hasSpace reports whether a file of the given size can be written to a folder.
func hasSpace(dir string, bytes int) bool {
	path := filepath.Join(dir, ".space")
	err := os.WriteFile(path, make([]byte, bytes), 0o600)
	return os.Remove(path) == nil && err == nil
}
