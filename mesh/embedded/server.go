package embedded

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"go.uber.org/zap"

	"github.com/weftmesh/weft/mesh/memory"
)

// readyTimeout bounds the time until a server accepts connections.
const readyTimeout = 10 * time.Second

// Server is a running embedded server.
type Server struct {
	lock *os.File
	log  *serverLog
	// dir is the server's folder, and store JetStream's.
	dir, store string
	// stopWatching ends restartAfterDiskFull and reloadAfterChange, which watching counts.
	stopWatching context.CancelFunc
	watching     sync.WaitGroup
	// leaf is the leaf connection of an edge node; nil for other servers.
	leaf *leaf

	mu sync.Mutex
	// files are those that the configuration was read from, and loaded is their version then.
	files   []string
	loaded  string
	options *server.Options
	nats    *server.Server
}

// Start runs the server of a folder that Init has written, and returns when it accepts connections, or an error after ten seconds.
// The server handles no signals and logs to log. Only one server can run from a folder.
func Start(ctx context.Context, dir string, log *zap.Logger) (*Server, error) {
	return start(ctx, dir, nil, log)
}

func start(ctx context.Context, dir string, leaf *leaf, log *zap.Logger) (_ *Server, err error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("starting the NATS server: %w", err)
	}
	lock, err := lockFolder(dir)
	if err != nil {
		return nil, fmt.Errorf("locking %s: %w", dir, err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, lock.Close())
		}
	}()
	if err := removePortsFiles(dir); err != nil {
		return nil, fmt.Errorf("removing old ports files: %w", err)
	}
	files := watched(dir)
	loaded := version(files)
	options, err := configure(dir, leaf)
	if err != nil {
		return nil, err
	}
	logger := &serverLog{
		log: log.Named("nats").WithOptions(zap.WithCaller(false)).Sugar(), fatal: make(chan string, 1), full: make(chan struct{}, 1),
	}
	nats, err := run(ctx, options.Clone(), logger)
	if err != nil {
		return nil, fmt.Errorf("starting the NATS server: %w", err)
	}
	s := &Server{lock: lock, log: logger, dir: dir, store: options.StoreDir, files: files, loaded: loaded, leaf: leaf, options: options, nats: nats}
	if address, ok := nats.Addr().(*net.TCPAddr); ok {
		options.Port = address.Port // keep a free port across restarts
	}
	if address := nats.MonitorAddr(); address != nil {
		options.HTTPPort = address.Port
	}
	if err := s.noteLeaf(); err != nil {
		nats.Shutdown()
		return nil, err
	}
	watchCtx, stop := context.WithCancel(context.WithoutCancel(ctx))
	s.stopWatching = stop
	s.watching.Go(func() { s.restartAfterDiskFull(watchCtx) })
	s.watching.Go(func() { s.reloadAfterChange(watchCtx) })
	return s, nil
}

// The server's own bounds of memory in bytes: what waits for one client, what waits to be stored in one stream, and what streams in memory
// hold together. Each is at most a sixteenth of the process's memory limit.
const (
	maxPending  = 64 << 20
	maxBuffered = 128 << 20
	maxInMemory = 1 << 30
)

// boundMemory bounds what the server holds for clients and streams.
func boundMemory(o *server.Options) {
	o.MaxPending = memory.AtMost(maxPending, 16)
	o.StreamMaxBufferedSize = memory.AtMost(maxBuffered, 16)
	if o.JetStreamMaxMemory <= 0 {
		o.JetStreamMaxMemory = memory.AtMost(maxInMemory, 16)
	}
}

// run starts a server and returns when it accepts connections.
func run(ctx context.Context, options *server.Options, logger *serverLog) (*server.Server, error) {
	nats, err := server.NewServer(options)
	if err != nil {
		return nil, fmt.Errorf("creating the server: %w", err)
	}
	nats.SetLoggerV2(logger, false, false, false)
	go nats.Start()
	if err := wait(ctx, nats, logger); err != nil {
		nats.Shutdown()
		nats.WaitForShutdown()
		return nil, err
	}
	return nats, nil
}

// wait returns when the server accepts connections or has logged a fatal error, or when ctx or readyTimeout ends.
func wait(ctx context.Context, nats *server.Server, logger *serverLog) error {
	ready := make(chan bool, 1)
	go func() { ready <- nats.ReadyForConnections(readyTimeout) }()
	select {
	case ok := <-ready:
		if !ok {
			return fmt.Errorf("the server accepts no connections after %s", readyTimeout)
		}
		return nil
	case why := <-logger.fatal:
		return errors.New(why)
	case <-ctx.Done():
		return ctx.Err()
	}
}

// ClientURL is the address for client connections.
func (s *Server) ClientURL() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.nats.ClientURL()
}

// InProcessConn opens a connection to the server without a socket.
func (s *Server) InProcessConn() (net.Conn, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.nats.InProcessConn()
}

// MonitorURL is the address of the monitoring port; empty if there is none.
func (s *Server) MonitorURL() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if addr := s.nats.MonitorAddr(); addr != nil {
		return "http://" + addr.String()
	}
	return ""
}

// Shutdown stops the server and returns when its state is written.
func (s *Server) Shutdown() {
	s.stopWatching()
	s.watching.Wait()
	s.nats.Shutdown()
	s.nats.WaitForShutdown()
	_ = s.lock.Close()
}

// serverLog forwards the server's log to zap. A fatal error ends the start of the server, not the process.
type serverLog struct {
	log   *zap.SugaredLogger
	fatal chan string
	// full is signalled when a write has failed because the disk is full.
	full chan struct{}
}

// Noticef implements server.Logger. The server's notices are logged at level debug.
func (l *serverLog) Noticef(format string, v ...any) { l.log.Debugf(format, v...) }

// Warnf implements server.Logger.
func (l *serverLog) Warnf(format string, v ...any) { l.log.Warnf(format, v...) }

// Errorf implements server.Logger.
func (l *serverLog) Errorf(format string, v ...any) {
	line := fmt.Sprintf(format, v...)
	l.log.Error(line)
	if strings.Contains(line, syscall.ENOSPC.Error()) {
		select {
		case l.full <- struct{}{}:
		default:
		}
	}
}

// Debugf implements server.Logger.
func (l *serverLog) Debugf(format string, v ...any) { l.log.Debugf(format, v...) }

// Tracef implements server.Logger.
func (l *serverLog) Tracef(format string, v ...any) { l.log.Debugf(format, v...) }

// Fatalf implements server.Logger.
func (l *serverLog) Fatalf(format string, v ...any) {
	l.log.Errorf(format, v...)
	select {
	case l.fatal <- fmt.Sprintf(format, v...):
	default:
	}
}
