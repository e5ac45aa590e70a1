package embedded

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// confPoll is the interval at which a server looks whether its configuration file has changed.
const confPoll = time.Second

// Running reports whether a process runs a server with Start from the folder.
func Running(dir string) (bool, error) {
	lock, err := lockFolder(dir)
	if errors.Is(err, errInUse) {
		return true, nil
	}
	if err != nil {
		return false, fmt.Errorf("locking %s: %w", dir, err)
	}
	return false, lock.Close()
}

// ConfigDigest identifies the configuration of a folder, as a server that has loaded it reports in config_digest of its VARZ.
func ConfigDigest(dir string) (string, error) {
	options, err := server.ProcessConfigFile(filepath.Join(dir, confFile))
	if err != nil {
		return "", fmt.Errorf("reading %s: %w", confFile, err)
	}
	return options.ConfigDigest(), nil
}

// configure reads the configuration of a folder as the server of this process runs it.
func configure(dir string, leaf *leaf) (*server.Options, error) {
	options, err := server.ProcessConfigFile(filepath.Join(dir, confFile))
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", confFile, err)
	}
	options.NoSigs = true
	boundMemory(options)
	if leaf != nil {
		if err := leaf.apply(options); err != nil {
			return nil, err
		}
	}
	return options, nil
}

// reloadAfterChange reloads the configuration whenever nats.conf is replaced, because users have been enrolled or revoked, and whenever a
// certificate or its key is. It returns when ctx ends.
func (s *Server) reloadAfterChange(ctx context.Context) {
	tick := time.NewTicker(confPoll)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if s.hasLoaded() {
			continue
		}
		if err := s.Reload(); err != nil {
			s.log.log.Errorf("reloading the NATS server's configuration: %v", err)
		} else {
			s.log.log.Infof("reloaded the NATS server's configuration")
		}
	}
}

// hasLoaded reports whether the files of the configuration are those that were loaded last.
func (s *Server) hasLoaded() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return version(s.files) == s.loaded
}

// Reload reads the configuration and the certificates again. Clients of users that are not in it any more are disconnected. If the
// configuration is invalid, the server keeps the one that it has.
func (s *Server) Reload() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	// Also if they are invalid: they are not read again until they change, as when a key follows its certificate.
	s.files = watched(s.dir)
	s.loaded = version(s.files)
	options, err := configure(s.dir, s.leaf)
	if err != nil {
		return err
	}
	options.Port, options.HTTPPort, options.LeafNode.Port = s.options.Port, s.options.HTTPPort, s.options.LeafNode.Port
	if err := s.nats.ReloadOptions(options.Clone()); err != nil {
		return fmt.Errorf("applying the configuration: %w", err)
	}
	removed := lacks(options, s.options)
	s.options = options
	if removed { // a reload disconnects clients of removed users, but not their leaf connections
		return s.closeLeaves()
	}
	return nil
}

// lacks reports whether a user of the old configuration is not in the new one.
func lacks(options, old *server.Options) bool {
	return slices.ContainsFunc(old.Nkeys, func(user *server.NkeyUser) bool {
		return !slices.ContainsFunc(options.Nkeys, func(u *server.NkeyUser) bool { return u.Nkey == user.Nkey })
	})
}

// closeLeaves closes every leaf connection. Edge nodes that are still enrolled dial again at once.
func (s *Server) closeLeaves() error {
	leaves, err := s.nats.Leafz(nil)
	if err != nil {
		return fmt.Errorf("listing the leaf connections: %w", err)
	}
	for _, leaf := range leaves.Leafs {
		_ = s.nats.DisconnectClientByID(leaf.ID) // one that has ended meanwhile is not found
	}
	return nil
}
