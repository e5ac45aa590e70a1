package embedded

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"go.uber.org/zap"
)

// readyWithin bounds how long a server may take to accept connections.
const readyWithin = 10 * time.Second

// Server is a running embedded server.
type Server struct {
	lock    *os.File
	log     *serverLog
	options *server.Options
	// store is the folder of what the server keeps.
	store string
	// stopHealing ends heal, healed is closed then.
	stopHealing context.CancelFunc
	healed      chan struct{}

	mu   sync.Mutex
	nats *server.Server
}

// Start runs the server of a folder that Init has written, and returns once it accepts connections, at
// the latest after ten seconds. It handles no signals and logs into log. A folder that another server
// runs from is refused.
func Start(ctx context.Context, dir string, log *zap.Logger) (_ *Server, err error) {
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
	options, err := server.ProcessConfigFile(filepath.Join(dir, confFile))
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", confFile, err)
	}
	options.NoSigs = true
	logger := &serverLog{
		log: log.Named("nats").WithOptions(zap.WithCaller(false)).Sugar(), fatal: make(chan string, 1), full: make(chan struct{}, 1),
	}
	nats, err := run(ctx, options.Clone(), logger)
	if err != nil {
		return nil, fmt.Errorf("starting the NATS server: %w", err)
	}
	s := &Server{lock: lock, log: logger, options: options, store: options.StoreDir, healed: make(chan struct{}), nats: nats}
	if address, ok := nats.Addr().(*net.TCPAddr); ok {
		options.Port = address.Port // a free one that was found stays
	}
	if address := nats.MonitorAddr(); address != nil {
		options.HTTPPort = address.Port
	}
	healing, stop := context.WithCancel(context.WithoutCancel(ctx))
	s.stopHealing = stop
	go func() {
		defer close(s.healed)
		s.heal(healing)
	}()
	return s, nil
}

// run starts a server and returns once it accepts connections.
func run(ctx context.Context, options *server.Options, logger *serverLog) (*server.Server, error) {
	nats, err := server.NewServer(options)
	if err != nil {
		return nil, fmt.Errorf("making it: %w", err)
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

// wait returns once the server accepts connections, has said why it cannot, or ctx or the time ends.
func wait(ctx context.Context, nats *server.Server, logger *serverLog) error {
	ready := make(chan bool, 1)
	go func() { ready <- nats.ReadyForConnections(readyWithin) }()
	select {
	case ok := <-ready:
		if !ok {
			return fmt.Errorf("it accepts no connections after %s", readyWithin)
		}
		return nil
	case why := <-logger.fatal:
		return errors.New(why)
	case <-ctx.Done():
		return ctx.Err()
	}
}

// ClientURL is the address that clients connect to.
func (s *Server) ClientURL() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.nats.ClientURL()
}

// InProcessConn opens a connection to the server that needs no socket.
func (s *Server) InProcessConn() (net.Conn, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.nats.InProcessConn()
}

// MonitorURL is the address of the monitoring port; empty where there is none.
func (s *Server) MonitorURL() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if addr := s.nats.MonitorAddr(); addr != nil {
		return "http://" + addr.String()
	}
	return ""
}

// Shutdown stops the server and returns once its state is written.
func (s *Server) Shutdown() {
	s.stopHealing()
	<-s.healed
	s.nats.Shutdown()
	s.nats.WaitForShutdown()
	_ = s.lock.Close()
}

// serverLog carries the server's log into zap. A fatal line ends the start, not the process.
type serverLog struct {
	log   *zap.SugaredLogger
	fatal chan string
	// full gets a word when something could not be written because the disk is full.
	full chan struct{}
}

// Noticef implements server.Logger. What the server calls a notice is weft's debug.
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
