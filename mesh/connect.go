package mesh

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nkeys"
	"go.uber.org/zap"
)

// Options says where and as whom to connect.
type Options struct {
	// URL is one or more server addresses, comma-separated.
	URL string
	// InProcess is a server of this process: where it is set, the connection needs no socket, and half the time for an answer.
	InProcess nats.InProcessConnProvider
	// User is the NATS user: an actor's name, gateway, operator or setup.
	User string
	// Seed is the user's nkey seed (SU…). It is wiped from memory by Conn.Close.
	Seed []byte
	// Log gets connection changes and asynchronous errors.
	Log *zap.Logger
	// Wait bounds how long Connect tries to reach a server: 30 s unless set.
	Wait time.Duration
}

// Conn is a connection to the mesh under one NATS user.
type Conn struct {
	*nats.Conn
	// JS is the connection's JetStream.
	JS jetstream.JetStream
	// User is the NATS user.
	User string
	key  nkeys.KeyPair
}

// Connect connects, trying again with backoff until a server answers or Wait or ctx ends. A refused
// user fails at once.
func Connect(ctx context.Context, o Options) (*Conn, error) {
	key, err := nkeys.FromSeed(o.Seed)
	if err != nil {
		return nil, fmt.Errorf("reading the nkey of %s: %w", o.User, err)
	}
	public, err := key.PublicKey()
	if err != nil {
		return nil, fmt.Errorf("reading the nkey of %s: %w", o.User, err)
	}
	if o.Wait == 0 {
		o.Wait = 30 * time.Second
	}
	if o.Log == nil {
		o.Log = zap.NewNop()
	}
	ctx, cancel := context.WithTimeout(ctx, o.Wait)
	defer cancel()
	options := []nats.Option{
		nats.Name("weft-" + o.User),
		nats.Nkey(public, key.Sign),
		nats.CustomInboxPrefix(InboxPrefix(o.User)),
		nats.MaxReconnects(-1),
		nats.ReconnectWait(100 * time.Millisecond),
		nats.ReconnectJitter(100*time.Millisecond, time.Second),
		nats.PingInterval(5 * time.Second),
		nats.MaxPingsOutstanding(2),
		// A server that refuses the key for a while (a restart with an old file) must not end the process's line.
		nats.IgnoreAuthErrorAbort(),
		// What is published while the line is down must fail, not wait: callers have deadlines.
		nats.ReconnectBufSize(-1),
		nats.ErrorHandler(func(_ *nats.Conn, sub *nats.Subscription, err error) {
			subject := ""
			if sub != nil {
				subject = sub.Subject
			}
			o.Log.Warn("NATS error", zap.String("user", o.User), zap.String("subject", subject), zap.Error(err))
		}),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			if err != nil {
				o.Log.Warn("NATS connection lost", zap.String("user", o.User), zap.Error(err))
			}
		}),
		nats.ReconnectHandler(func(nc *nats.Conn) {
			o.Log.Info("NATS connection restored", zap.String("user", o.User), zap.String("server", nc.ConnectedUrlRedacted()))
		}),
	}
	if o.InProcess != nil {
		options = append(options, nats.InProcessServer(o.InProcess))
	}
	nc, err := dial(ctx, o, options)
	if err != nil {
		return nil, fmt.Errorf("connecting to NATS as %s: %w", o.User, err)
	}
	js, err := jetstream.New(nc)
	if err != nil {
		nc.Close()
		return nil, fmt.Errorf("opening JetStream as %s: %w", o.User, err)
	}
	return &Conn{Conn: nc, JS: js, User: o.User, key: key}, nil
}

func dial(ctx context.Context, o Options, options []nats.Option) (*nats.Conn, error) {
	wait := 50 * time.Millisecond
	for {
		nc, err := nats.Connect(o.URL, options...)
		if err == nil || errors.Is(err, nats.ErrAuthorization) {
			return nc, err
		}
		o.Log.Info("NATS is not reachable yet", zap.String("user", o.User), zap.Error(err))
		select {
		case <-ctx.Done():
			return nil, errors.Join(err, ctx.Err())
		case <-time.After(wait):
			wait = min(2*wait, 2*time.Second)
		}
	}
}

// inboxes begins every user's private inbox prefix.
const inboxes = "_INBOX_"

// InboxPrefix is the private inbox prefix of a NATS user.
func InboxPrefix(user string) string { return inboxes + user }

// IsInbox tells whether a reply subject is some user's private inbox.
func IsInbox(subject string) bool { return strings.HasPrefix(subject, inboxes) }

// MaxPayload is how many bytes of payload a message may have: what the server takes, less the room for
// headers.
func (c *Conn) MaxPayload() int64 { return c.Conn.MaxPayload() - HeaderRoom }

// FlushWithContext returns once the server has seen everything sent so far; a context without a deadline
// is bounded by ten seconds.
func (c *Conn) FlushWithContext(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, flushWithin)
	defer cancel()
	return c.Conn.FlushWithContext(ctx)
}

// flushWithin bounds a flush whose caller bounds it no closer.
const flushWithin = 10 * time.Second

// Close closes the connection and wipes the key.
func (c *Conn) Close() {
	c.Conn.Close()
	c.key.Wipe()
}
