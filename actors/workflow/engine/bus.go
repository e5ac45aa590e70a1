package engine

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"go.uber.org/zap"

	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

// bus carries commands and heartbeats between the processes that run the actor: NATS, or memory in simulations.
type bus interface {
	// request sends a command to the owner of a partition and returns its reply.
	request(ctx context.Context, number int, data []byte) ([]byte, error)
	// serve passes the commands for a partition to handle, each in a goroutine, until ctx ends.
	serve(ctx context.Context, number int, handle func(ctx context.Context, data []byte) ([]byte, error)) error
	// broadcast sends a heartbeat to all processes, listen passes those of all to handle until stop is called.
	broadcast(data []byte) error
	listen(handle func(data []byte)) (stop func(), err error)
}

// natsBus is the bus over core NATS.
type natsBus struct {
	conn       *mesh.Conn
	log        *zap.Logger
	background *sync.WaitGroup
}

func (b natsBus) request(ctx context.Context, number int, data []byte) ([]byte, error) {
	answer, err := b.conn.Forward(ctx, subjects.WorkflowPartitionSubject(number), nats.Header{}, data)
	if err != nil {
		return nil, err
	}
	return answer.Data, nil
}

func (b natsBus) serve(ctx context.Context, number int, handle func(ctx context.Context, data []byte) ([]byte, error)) error {
	sub, err := b.conn.Subscribe(subjects.WorkflowPartitionSubject(number), func(m *nats.Msg) {
		if !mesh.IsInbox(m.Reply, b.conn.User) {
			return
		}
		b.background.Go(func() { b.answer(ctx, m, handle) })
	})
	if err != nil {
		return fmt.Errorf("listening for commands to partition %d: %w", number, err)
	}
	context.AfterFunc(ctx, func() {
		if err := sub.Unsubscribe(); err != nil && !errors.Is(err, nats.ErrConnectionClosed) {
			b.log.Warn("closing a partition's subscription", zap.Error(err))
		}
	})
	return nil
}

func (b natsBus) answer(ctx context.Context, m *nats.Msg, handle func(ctx context.Context, data []byte) ([]byte, error)) {
	ctx, cancel := context.WithTimeout(ctx, mesh.Timeout(m.Header, commandTimeout))
	defer cancel()
	out := &nats.Msg{Subject: m.Reply, Header: nats.Header{}}
	var err error
	if out.Data, err = handle(ctx, m.Data); err != nil {
		problem := subjects.ProblemOf(err, "", "")
		out.Header.Set(mesh.HeaderErrorCode, string(problem.Code))
		out.Data, err = subjects.Encode(problem)
	}
	if err == nil {
		err = b.conn.PublishMsg(out)
	}
	if err != nil {
		b.log.Warn("answering a command", zap.Error(err))
	}
}

// broadcast signs a heartbeat. It has no reply subject that would show whose it is, and others can have the server publish on its subject.
func (b natsBus) broadcast(data []byte) error {
	m := &nats.Msg{Subject: subjects.WorkflowPeers, Data: data}
	b.conn.JS.Sign(m)
	return b.conn.PublishMsg(m)
}

func (b natsBus) listen(handle func(data []byte)) (stop func(), err error) {
	sub, err := b.conn.Subscribe(subjects.WorkflowPeers, func(m *nats.Msg) {
		if b.conn.JS.Verify(b.conn.User, m.Subject, m.Header, m.Data, time.Now()) == nil {
			handle(m.Data)
		}
	})
	if err != nil {
		return nil, fmt.Errorf("listening for the other processes: %w", err)
	}
	return func() { _ = sub.Unsubscribe() }, nil
}
