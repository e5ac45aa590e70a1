package mesh

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/weftmesh/weft/subjects"
)

// Move is the leadership of a stream or of a durable consumer that goes from one server to another.
type Move struct {
	// Stream is the stream; Durable is the consumer, or "" for the stream itself.
	Stream, Durable string
	// From and To are names of servers.
	From, To string
}

// Name is the stream, or stream/durable.
func (m Move) Name() string {
	if m.Durable == "" {
		return m.Stream
	}
	return m.Stream + "/" + m.Durable
}

// Leaders are the numbers of streams and of durables that each server leads.
type Leaders map[string]struct{ Streams, Durables int }

// Balance is how the leaders of weft's streams and durables are spread over the servers of a cluster, and what would spread them evenly.
type Balance struct {
	Leaders Leaders
	// Moves are those after which no server leads two streams, or two durables, more than another one that could lead them.
	Moves []Move
	// Lagging lists the streams and durables that some server does not have completely. They are moved to other servers only.
	Lagging []string
}

// group is the replicas of a stream or durable.
type group struct {
	move Move
	// eligible are the servers that can lead it.
	eligible []string
}

// PlanBalance reads who leads, as the NATS user migrate, and waits for elections in progress. On a single server there is nothing to move.
func PlanBalance(ctx context.Context, conn *Conn, say Say) (b Balance, err error) {
	err = retry(ctx, conn, say, "every stream to have a leader (a majority of its servers must be up)", func(ctx context.Context) (err error) {
		b, err = planBalance(ctx, conn.JS)
		return err
	})
	return b, err
}

func planBalance(ctx context.Context, js *JetStream) (Balance, error) {
	b := Balance{Leaders: Leaders{}}
	var streams, durables []group
	for _, name := range streamNames() {
		stream, err := js.Stream(ctx, name)
		if err != nil {
			return b, fmt.Errorf("asking for the leader of %s: %w", name, err)
		}
		streams = b.add(streams, Move{Stream: name}, stream.CachedInfo().Cluster)
	}
	for _, c := range subjects.Consumers() {
		consumer, err := js.Consumer(ctx, c.Stream, c.Durable)
		if err != nil {
			return b, fmt.Errorf("asking for the leader of %s/%s: %w", c.Stream, c.Durable, err)
		}
		durables = b.add(durables, Move{Stream: c.Stream, Durable: c.Durable}, consumer.CachedInfo().Cluster)
	}
	b.Moves = append(even(streams), even(durables)...)
	return b, nil
}

// add counts the leader of a group and adds the group to list.
func (b *Balance) add(list []group, m Move, info *jetstream.ClusterInfo) []group {
	if info == nil || info.Leader == "" {
		return list
	}
	g := group{move: m, eligible: []string{info.Leader}}
	g.move.From = info.Leader
	for _, peer := range info.Replicas {
		if _, known := b.Leaders[peer.Name]; !known && !peer.Offline {
			b.Leaders[peer.Name] = struct{ Streams, Durables int }{}
		}
		if peer.Current && !peer.Offline {
			g.eligible = append(g.eligible, peer.Name)
		} else {
			b.Lagging = append(b.Lagging, m.Name()+" on "+peer.Name)
		}
	}
	n := b.Leaders[info.Leader]
	if m.Durable == "" {
		n.Streams++
	} else {
		n.Durables++
	}
	b.Leaders[info.Leader] = n
	return append(list, g)
}

// even returns moves after which no server leads two groups more than one that could lead one of them.
func even(groups []group) (moves []Move) {
	led := map[string]int{}
	for _, g := range groups {
		for _, server := range g.eligible {
			led[server] += 0
		}
		led[g.move.From]++
	}
	moved := make([]bool, len(groups))
	for {
		best, to, gain := -1, "", 1
		for i, g := range groups {
			for _, server := range g.eligible {
				if n := led[g.move.From] - led[server]; !moved[i] && n > gain {
					best, to, gain = i, server, n
				}
			}
		}
		if best < 0 {
			return moves
		}
		m := groups[best].move
		m.To = to
		moved[best] = true
		led[m.From]--
		led[to]++
		moves = append(moves, m)
	}
}

// moveTimeout bounds the election of a leader.
const moveTimeout = 10 * time.Second

// Apply moves one leadership, as the NATS user migrate, and returns when the new leader is elected. Clients wait meanwhile, as after the loss
// of a server; nothing is lost. The servers may elect another leader than m.To, which is then returned.
func (m Move) Apply(ctx context.Context, js *JetStream) (leader string, err error) {
	body, err := json.Marshal(map[string]any{"placement": map[string]string{"preferred": m.To}})
	if err != nil {
		return "", fmt.Errorf("encoding a request: %w", err)
	}
	subject := "STREAM.LEADER.STEPDOWN." + m.Stream
	if m.Durable != "" {
		subject = "CONSUMER.LEADER.STEPDOWN." + m.Stream + "." + m.Durable
	}
	ctx, cancel := context.WithTimeout(ctx, moveTimeout)
	defer cancel()
	if err := request(ctx, js.Conn(), js.identity.privileged(subject), body); err != nil {
		return "", fmt.Errorf("moving the leader of %s to %s: %w", m.Name(), m.To, err)
	}
	for {
		leader, err = m.leader(ctx, js)
		if err == nil && leader != "" && leader != m.From {
			return leader, nil
		}
		select {
		case <-ctx.Done():
			return "", fmt.Errorf("no new leader of %s within %s: %w", m.Name(), moveTimeout, ctx.Err())
		case <-time.After(attemptDelay / 5):
		}
	}
}

// leader asks who leads.
func (m Move) leader(ctx context.Context, js *JetStream) (string, error) {
	limited, cancel := context.WithTimeout(ctx, attemptTimeout)
	defer cancel()
	if m.Durable != "" {
		consumer, err := js.Consumer(limited, m.Stream, m.Durable)
		if err != nil || consumer.CachedInfo().Cluster == nil {
			return "", err
		}
		return consumer.CachedInfo().Cluster.Leader, nil
	}
	stream, err := js.Stream(limited, m.Stream)
	if err != nil || stream.CachedInfo().Cluster == nil {
		return "", err
	}
	return stream.CachedInfo().Cluster.Leader, nil
}

// String lists the servers with what they lead.
func (l Leaders) String() string {
	names := make([]string, 0, len(l))
	for name := range l {
		names = append(names, name)
	}
	slices.Sort(names)
	for i, name := range names {
		names[i] = fmt.Sprintf("%s leads %d streams and %d durables", name, l[name].Streams, l[name].Durables)
	}
	return strings.Join(names, ", ")
}
