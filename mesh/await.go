package mesh

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/weftmesh/weft/subjects"
)

const (
	// attemptTimeout bounds one request of a migration. Servers that have not elected a leader do not answer at all.
	attemptTimeout = 2 * time.Second
	// attemptDelay is the delay before the next attempt.
	attemptDelay = 250 * time.Millisecond
)

// Say tells a person what a migration waits for. It is called again only when that changes.
type Say func(waitingFor string)

// AwaitJetStream returns when JetStream answers. In a cluster that is when its servers have elected a meta leader. ctx bounds the
// wait; the error says what was waited for.
func AwaitJetStream(ctx context.Context, conn *Conn, say Say) error {
	return retry(ctx, conn, say, "JetStream to answer (in a cluster, a majority of the servers must elect a meta leader)",
		func(ctx context.Context) error {
			_, err := conn.JS.AccountInfo(ctx)
			return err
		})
}

// Migrate compares and applies until nothing is left to do, and waits for servers that are still starting. done is called with the
// plan before it is applied. ctx bounds the wait.
func Migrate(ctx context.Context, conn *Conn, t Target, say Say, planned func(Plan)) error {
	var plan Plan
	err := retry(ctx, conn, say, "JetStream to describe its streams", func(ctx context.Context) (err error) {
		plan, err = Compare(ctx, conn.JS, t)
		return err
	})
	if err != nil {
		return err
	}
	planned(plan)
	for _, c := range plan.Changes {
		if c.apply == nil {
			continue
		}
		waitingFor := fmt.Sprintf("the servers to be ready for %s %s %s (%d replicas need as many servers)", c.Action.doing(), c.Kind, c.Name, t.Replicas)
		if err := retry(ctx, conn, say, waitingFor, func(ctx context.Context) error { return Plan{[]Change{c}}.Apply(ctx) }); err != nil {
			return err
		}
	}
	return nil
}

// AwaitReplicas returns when every stream and durable is stored on as many servers as it has replicas. After a change of replicas
// the servers add or remove copies one stream after the other.
func AwaitReplicas(ctx context.Context, conn *Conn, say Say) error {
	return retry(ctx, conn, say, "the servers to copy what has new replicas", func(ctx context.Context) error {
		moving, err := movingReplicas(ctx, conn.JS)
		if err == nil && len(moving) > 0 {
			return fmt.Errorf("%w: %s", errMoving, strings.Join(moving, ", "))
		}
		return err
	})
}

var errMoving = errors.New("being copied")

// movingReplicas lists the streams and durables that are not yet on as many servers as they have replicas.
func movingReplicas(ctx context.Context, js jetstream.JetStream) (moving []string, err error) {
	replicas := map[string]int{}
	for _, r := range requiredStreams() {
		stream, err := js.Stream(ctx, r.stream)
		if err != nil {
			return nil, err
		}
		info := stream.CachedInfo()
		replicas[r.stream] = info.Config.Replicas
		if !settled(info.Cluster, info.Config.Replicas) {
			moving = append(moving, r.stream)
		}
	}
	for _, c := range subjects.Consumers() {
		consumer, err := js.Consumer(ctx, c.Stream, c.Durable)
		if err != nil {
			return nil, err
		}
		if !settled(consumer.CachedInfo().Cluster, replicas[c.Stream]) {
			moving = append(moving, c.Stream+"/"+c.Durable)
		}
	}
	return moving, nil
}

// settled reports whether a group has a leader and exactly as many current members as replicas. A single server has no group.
func settled(group *jetstream.ClusterInfo, replicas int) bool {
	if group == nil || group.Name == "" {
		return true
	}
	if group.Leader == "" || len(group.Replicas)+1 != replicas {
		return false
	}
	for _, peer := range group.Replicas {
		if !peer.Current {
			return false
		}
	}
	return true
}

// retry repeats attempt, each with attemptTimeout, while its error is one of a server that is not ready, until ctx ends.
func retry(ctx context.Context, conn *Conn, say Say, waitingFor string, attempt func(context.Context) error) error {
	for said := false; ; {
		limited, cancel := context.WithTimeout(ctx, attemptTimeout)
		err := attempt(limited)
		cancel()
		if err == nil {
			return nil
		}
		if denied := conn.LastError(); errors.Is(denied, nats.ErrPermissionViolation) {
			return errors.Join(err, denied) // such a request is never answered
		}
		if !notReady(err) {
			return err
		}
		if !said {
			say(waitingFor)
			said = true
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waited too long for %s: %w", waitingFor, err)
		case <-time.After(attemptDelay):
		}
	}
}

// Codes of JetStream's API for a cluster that is not ready.
const (
	errCodeInsufficientResources jetstream.ErrorCode = 10023
	errCodeClusterNoPeers        jetstream.ErrorCode = 10005
	errCodeClusterNotAvailable   jetstream.ErrorCode = 10008
	errCodeNoLeader              jetstream.ErrorCode = 10009
	errCodeStreamOffline         jetstream.ErrorCode = 10118
	errCodeConsumerOffline       jetstream.ErrorCode = 10119
	errCodeMoveInProgress        jetstream.ErrorCode = 10124
)

// notReady reports whether the error may go away when more servers have started.
func notReady(err error) bool {
	var api *jetstream.APIError
	if errors.As(err, &api) {
		switch api.ErrorCode {
		case errCodeInsufficientResources, errCodeClusterNoPeers, errCodeClusterNotAvailable, errCodeNoLeader, errCodeStreamOffline,
			errCodeConsumerOffline, errCodeMoveInProgress:
			return true
		}
		return false
	}
	return errors.Is(err, errMoving) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, nats.ErrTimeout) ||
		errors.Is(err, nats.ErrNoResponders) || errors.Is(err, jetstream.ErrNoStreamResponse)
}
