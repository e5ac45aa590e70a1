package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"
	"github.com/spf13/cobra"

	"github.com/weftmesh/weft/actors/wait"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/mesh/embedded"
)

// enrollment changes the users that are enrolled at NATS servers.
type enrollment struct {
	*process
	// dirs are the folders of the servers: of one, or of all servers of a cluster whose files are on this machine.
	dirs []string
	out  io.Writer
}

// reachWithin bounds how long a command looks for a running NATS server, and reloadWithin how long servers may take to reload and to admit
// a new user.
const (
	reachWithin  = 3 * time.Second
	reloadWithin = 15 * time.Second
	// admitPoll is the interval at which a command looks whether a server admits a new user.
	admitPoll = 100 * time.Millisecond
)

// addServerFlags adds the flags that newEnrollment reads.
func addServerFlags(cmd *cobra.Command) {
	cmd.Flags().StringSlice("server-dir", nil, "folder of the NATS server, as `weft nats-init` wrote it; several for a cluster (default <data>/nats)")
	addNATSFlags(cmd)
	addDataFlag(cmd)
}

// newEnrollment opens the process of a command that enrolls or revokes users. The caller must close it.
func newEnrollment(cmd *cobra.Command) (*enrollment, error) {
	config, err := commandConfig(cmd)
	if err != nil {
		return nil, err
	}
	dirs, err := cmd.Flags().GetStringSlice("server-dir")
	if err != nil {
		return nil, err
	}
	if len(dirs) == 0 {
		dirs = []string{filepath.Join(config.Data, "nats")}
	}
	if config.NATS.Keys == "" {
		config.NATS.Keys = keysOf(dirs[0])
	}
	if config.NATS.URL == defaultConfig().NATS.URL {
		config.NATS.URL = cmp.Or(embedded.URL(dirs[0]), config.NATS.URL)
	}
	p, err := newProcess(cmd.Context(), config, "enroll", cmd.ErrOrStderr())
	if err != nil {
		return nil, err
	}
	return &enrollment{process: p, dirs: dirs, out: cmd.OutOrStdout()}, nil
}

// keysOf returns the folder of the users' keys of a server: its own, or that beside the folders of a cluster's servers.
func keysOf(dir string) string {
	own, shared := filepath.Join(dir, "keys"), filepath.Join(dir, "..", "keys")
	if _, err := os.Stat(own); err == nil {
		return own
	}
	if _, err := os.Stat(shared); err == nil {
		return shared
	}
	return own
}

// enroll enrolls a user at all servers and returns it with its nkey seed, which is nil if the user was not enrolled.
func (e *enrollment) enroll(ctx context.Context, user mesh.Enrolled) (_ mesh.Enrolled, seed []byte, err error) {
	err = e.change(ctx, false, func(dir string) (err error) {
		user, seed, err = embedded.Enroll(dir, user, time.Now())
		return err
	})
	return user, seed, err
}

// awaitAdmitted returns when the server admits a user that was enrolled, or at once if no server runs.
func (e *enrollment) awaitAdmitted(ctx context.Context, user mesh.Enrolled, seed []byte) error {
	key, err := nkeys.FromSeed(seed)
	if err != nil {
		return fmt.Errorf("reading the new key: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, reloadWithin)
	defer cancel()
	for {
		conn, err := e.dial(nats.Nkey(user.Key, key.Sign), nats.NoReconnect())
		if err == nil {
			conn.Close()
			return nil
		}
		if !errors.Is(err, nats.ErrAuthorization) {
			return nil // there is no server to wait for
		}
		if err := wait.Sleep(ctx, admitPoll); err != nil {
			return fmt.Errorf("the server does not admit %s: has its folder another configuration?", user.User())
		}
	}
}

// change calls f for the first server's folder and then makes the change known. With cut, servers close their leaf connections too.
func (e *enrollment) change(ctx context.Context, cut bool, f func(dir string) error) error {
	if err := f(e.dirs[0]); err != nil {
		return err
	}
	return e.apply(ctx, cut)
}

// apply copies the users of the first folder to the others, publishes them to weft's processes, and makes the running servers reload. The
// published users decide whether the hub takes an outbox, so that they come first.
func (e *enrollment) apply(ctx context.Context, cut bool) error {
	users, err := embedded.LoadEnrolled(e.dirs[0])
	if err != nil {
		return err
	}
	for _, dir := range e.dirs[1:] {
		if err := embedded.Admit(dir, users); err != nil {
			return err
		}
	}
	sys, reached, err := e.reach()
	if err != nil || !reached {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, reloadWithin)
	defer cancel()
	err = e.asMigrate(ctx, func(conn *mesh.Conn) error { return mesh.PublishEnrolled(ctx, conn.JS, users) })
	if sys == nil { // servers of weft's own read their changed files by themselves
		return err
	}
	defer sys.Close()
	return errors.Join(err, e.reload(ctx, sys, cut))
}

// reach connects to the system account of the running servers. It reports whether there is a running one; the connection is nil if all of
// them are servers of weft's own.
func (e *enrollment) reach() (sys *nats.Conn, reached bool, err error) {
	running := 0
	for _, dir := range e.dirs {
		own, err := embedded.Running(dir)
		if err != nil {
			return nil, false, err
		}
		if own {
			running++
		}
	}
	if running == len(e.dirs) {
		return nil, true, nil
	}
	sys, err = e.connectSystem()
	if errors.Is(err, nats.ErrNoServers) || errors.Is(err, nats.ErrTimeout) {
		_, err := fmt.Fprintf(e.out, "No NATS server answers at %s: the change takes effect when it starts.\n", mesh.MaskURLs(e.natsURL))
		return nil, false, err
	}
	if err != nil {
		return nil, false, fmt.Errorf("connecting to NATS as %s: %w", mesh.UserSystem, err)
	}
	return sys, true, nil
}

// connectSystem connects to the system account, which may reload servers.
func (p *process) connectSystem() (*nats.Conn, error) {
	option, err := nats.NkeyOptionFromSeed(filepath.Join(p.keys, mesh.UserSystem+".nk"))
	if err != nil {
		return nil, err
	}
	return p.dial(option)
}

// dial connects to the servers with the TLS settings.
func (p *process) dial(options ...nats.Option) (*nats.Conn, error) {
	options = append(options, nats.Timeout(reachWithin))
	return nats.Connect(p.natsURL, append(options, natsTLS(p.config.NATS.TLS, p.keys).Options()...)...)
}

// publishUsers publishes the public keys, and the enrolled users if the folder beside the keys has a list of them.
func (p *process) publishUsers(ctx context.Context, js *mesh.JetStream) error {
	if err := mesh.PublishKeyring(ctx, js); err != nil {
		return err
	}
	users, err := embedded.LoadEnrolled(filepath.Dir(p.keys))
	if err != nil || users == nil {
		return err
	}
	return mesh.PublishEnrolled(ctx, js, users)
}

// writeSeed writes a secret to a new file that only its owner can read.
func writeSeed(path string, seed []byte) (err error) {
	f, err := os.OpenFile(filepath.Clean(path), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("writing the key: %w", err)
	}
	_, err = f.Write(append(slices.Clone(seed), '\n'))
	return errors.Join(err, f.Sync(), f.Close())
}
