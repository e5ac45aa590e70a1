package edge_test

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/edge"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

// moved is a clock that can be moved, with what its box has of monotonic time.
type moved struct{ wall, mono atomic.Int64 }

func (m *moved) apply(o *edge.Options) {
	started := time.Now()
	o.Wall = func() time.Time { return time.Now().Add(time.Duration(m.wall.Load())) }
	o.Mono = func() time.Duration { return time.Since(started) + time.Duration(m.mono.Load()) }
}

// pass lets time pass at the edge only.
func (m *moved) pass(d time.Duration) { m.wall.Add(int64(d)); m.mono.Add(int64(d)) }

// TestLease is offline for 24 hours by a moved clock.
func TestLease(t *testing.T) {
	t.Parallel()
	h := startHub(t)
	own := h.createWorkflow(t, "own", "sensor.read", setTask)
	clock := &moved{}
	n := h.startNode(t, "box7", subjects.Enrolment{Users: []string{h.user}, Workflows: []string{own}}, clock.apply)
	n.contacted(t)
	actortest.Eventually(t, "the workflow is installed", func() bool { return len(n.mustPublish(t, actortest.User(), "sensor.read").Started) == 1 })
	n.relay.Cut(true)
	actortest.Eventually(t, "the edge is offline", func() bool { return !n.status(t).Linked })
	clock.pass(5 * time.Minute) // the token is valid for ten
	n.mustPublish(t, "within", "sensor.read")
	clock.pass(24 * time.Hour)
	if _, err := n.publish(t, "past", "sensor.read"); subjects.CodeOf(err) != subjects.CodeUnavailable && subjects.CodeOf(err) != subjects.CodeUnauthenticated {
		t.Errorf("past the lease: %v", err)
	}
	if err := n.Permit(h.user); reasonOf(err) != subjects.ReasonEdgeLeaseExpired {
		t.Errorf("past the lease the user is answered %v", err)
	}
	_, err := mesh.Call(t.Context(), n.Conn(t, mesh.UserGateway), subjects.JWKS, subjects.Empty{}, mesh.As{})
	if reasonOf(err) != subjects.ReasonEdgeLeaseExpired {
		t.Errorf("past the lease the keys are answered %v", err)
	}
	if left := n.status(t).LeaseLeftMS; left != 0 {
		t.Errorf("%d ms are left", left)
	}
	clock.wall.Add(-int64(48 * time.Hour)) // set back
	n.restart(t)
	if err := n.Permit(h.user); reasonOf(err) != subjects.ReasonEdgeLeaseExpired {
		t.Errorf("after a restart with the clock set back the user is answered %v", err)
	}
	n.relay.Cut(false)
	actortest.Eventually(t, "the edge acts again", func() bool { _, err := n.publish(t, "again", "sensor.read"); return err == nil })
	actortest.Eventually(t, "the outbox is empty", func() bool { return n.status(t).Outbox.Messages == 0 })
}

// TestClockIsOff runs an edge whose clock is an hour off: tokens are judged by the hub's.
func TestClockIsOff(t *testing.T) {
	t.Parallel()
	h := startHub(t)
	clock, off := &moved{}, time.Hour
	clock.wall.Store(int64(off))
	n := h.startNode(t, "box7", subjects.Enrolment{Users: []string{h.user}}, clock.apply)
	n.contacted(t)
	n.mustPublish(t, "e1", "x")
	if skew := time.Duration(n.status(t).SkewMS) * time.Millisecond; (skew + off).Abs() > time.Minute {
		t.Errorf("the skew is %s, want %s", skew, -off)
	}
	if now := n.Node.Now(); time.Until(now).Abs() > time.Minute {
		t.Errorf("the edge takes %s for the hub's time", now)
	}
	_, err := publish(t, n.Mesh, mesh.As{Token: h.Token(t, h.user, actortest.WithExpiry(time.Now().Add(-time.Minute)))}, "e2", "x")
	if subjects.CodeOf(err) != subjects.CodeUnauthenticated {
		t.Errorf("an expired token is answered %v", err)
	}
	actortest.Eventually(t, "the hub knows the skew", func() bool { list := h.edges(t); return len(list) == 1 && list[0].SkewMS != 0 })
}
