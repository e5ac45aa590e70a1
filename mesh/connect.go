package mesh

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"
	"go.uber.org/zap"

	"github.com/weftmesh/weft/subjects"
)

// Options configures a connection.
type Options struct {
	// URL is one or more server URLs, separated by commas.
	URL string
	// InProcess is a server in this process. If set, the connection uses no socket, which halves the latency.
	InProcess nats.InProcessConnProvider
	// TLS are the files for TLS with the server. They are not used for a server in this process.
	TLS TLSFiles
	// User is the NATS user: the name of an actor, gateway, operator or migrate.
	User string
	// Seed is the user's nkey seed (SU…). Conn.Close wipes it from memory.
	Seed []byte
	// Keyring has the public keys of all users, from the file that embedded.Init writes. Default: those that setup has published, which
	// must then have run.
	Keyring Keyring
	// SlowConsumer is called when a subscription's messages are dropped because they are not read fast enough. Default: nothing.
	SlowConsumer func(user, subject string)
	// Refused is called for each stored message that is refused because its author did not publish it. Default: nothing.
	Refused func(subject string, err error)
	// Log receives connection changes and asynchronous errors. Default: none are logged.
	Log *zap.Logger
	// Wait bounds how long Connect retries. Default: 30 s.
	Wait time.Duration
}

// Conn is a connection to NATS as one user.
type Conn struct {
	*nats.Conn
	// JS is the connection's JetStream, which signs what it publishes.
	JS *JetStream
	// User is the NATS user.
	User string
	key  nkeys.KeyPair
}

// onError reports an error of a connection that is not the result of a call.
func (o Options) onError(_ *nats.Conn, sub *nats.Subscription, err error) {
	subject := ""
	if sub != nil {
		subject = sub.Subject
	}
	if o.SlowConsumer != nil && errors.Is(err, nats.ErrSlowConsumer) {
		o.SlowConsumer(o.User, subject)
	}
	o.Log.Warn("NATS error", zap.String("user", o.User), zap.String("subject", subject), zap.Error(err))
}

// Connect connects, retrying with backoff until a server accepts the connection or Wait or ctx ends. It does not retry if the
// server rejects the user, nor after an ErrTLS.
func Connect(ctx context.Context, o Options) (*Conn, error) {
	if err := CheckServers(o.URL); err != nil {
		return nil, fmt.Errorf("connecting to NATS as %s: the URL %w", o.User, err)
	}
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
		nats.PingInterval(3 * time.Second), // a server that is cut off is left after three without an answer
		nats.MaxPingsOutstanding(2),
		// A server that temporarily rejects the key, such as after a restart with an old file, must not end the connection.
		nats.IgnoreAuthErrorAbort(),
		// While disconnected, publishing must fail instead of buffering, because callers have deadlines.
		nats.ReconnectBufSize(-1),
		nats.ErrorHandler(o.onError),
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
		o.URL = strings.ReplaceAll(o.URL, "tls://", "nats://") // nothing is encrypted within the process
		options = append(options, nats.InProcessServer(o.InProcess))
	} else {
		options = append(options, o.TLS.Options()...)
	}
	nc, err := dial(ctx, o, options)
	if err != nil {
		return nil, fmt.Errorf("connecting to NATS as %s: %w", o.User, err)
	}
	js, err := openJetStream(ctx, nc, o)
	if err != nil {
		nc.Close()
		return nil, err
	}
	return &Conn{Conn: nc, JS: js, User: o.User, key: key}, nil
}

// openJetStream opens the JetStream of a connection, with the public keys that a migration has published unless they are given.
func openJetStream(ctx context.Context, nc *nats.Conn, o Options) (*JetStream, error) {
	js, err := NewJetStream(nc, o.User, o.Seed, o.Keyring)
	if err != nil {
		return nil, err
	}
	js.refused = o.Refused
	if js.keyring == nil && o.User != UserMigrate {
		js.keyring, err = fetchKeyring(ctx, js)
	}
	return js, err
}

func dial(ctx context.Context, o Options, options []nats.Option) (*nats.Conn, error) {
	wait := 50 * time.Millisecond
	for {
		nc, err := nats.Connect(o.URL, options...)
		if err == nil || errors.Is(err, nats.ErrAuthorization) {
			return nc, err
		}
		if refused := tlsError(err); refused != nil {
			return nil, refused
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

// inboxes is the prefix of all users' inbox prefixes.
const inboxes = "_INBOX_"

// InboxPrefix returns the inbox prefix of a NATS user. Only that user may subscribe below it.
func InboxPrefix(user string) string { return inboxes + user }

// IsInbox reports whether a reply subject is an inbox of one of the NATS users.
func IsInbox(subject string, users ...string) bool {
	prefix, rest, below := strings.Cut(subject, ".")
	user, ok := strings.CutPrefix(prefix, inboxes)
	return ok && below && rest != "" && slices.Contains(users, user)
}

// IsEdgeInbox reports whether a reply subject is an inbox of an edge node, enrolled or not.
func IsEdgeInbox(subject string) bool {
	prefix, rest, below := strings.Cut(subject, ".")
	name, ok := strings.CutPrefix(prefix, inboxes+EnrolledUser(subjects.KindEdge, ""))
	return ok && below && rest != "" && enrolledName.MatchString(name)
}

// MaxPayload is the maximum payload of a message in bytes: the server's limit less HeaderRoom.
func (c *Conn) MaxPayload() int64 { return c.Conn.MaxPayload() - HeaderRoom }

// FlushWithContext returns when the server has processed everything that was sent. It waits at most flushTimeout.
func (c *Conn) FlushWithContext(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, flushTimeout)
	defer cancel()
	return c.Conn.FlushWithContext(ctx)
}

// flushTimeout is the maximum duration of a flush.
const flushTimeout = 10 * time.Second

// Close closes the connection and wipes the nkey seed.
func (c *Conn) Close() {
	c.Conn.Close()
	c.key.Wipe()
}
