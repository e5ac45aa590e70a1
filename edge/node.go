package edge

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/actors/wait"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

const (
	// stateFile is the file in the data folder that has what is known of the hub. It is secret.
	stateFile = "edge.json"
	// grantFile has the lease and the clocks, which are stored more often.
	grantFile = "edge-lease.json"
	// saveEvery is the interval at which the clock is stored.
	saveEvery = 10 * time.Second
	// linkPoll is the interval at which the leaf connection is looked at.
	linkPoll = 100 * time.Millisecond
	// contactWithin bounds one contact.
	contactWithin = 5 * time.Second
)

// Options configures a Node. All but Wall and Mono are required.
type Options struct {
	// Name is the edge node's name.
	Name string
	// Hub is the address of the hub, for reports.
	Hub     string
	Version string
	// Dir is the folder in which the state is kept.
	Dir    string
	Config Config
	// First is the state of the enrolment, if any.
	First *State
	// Local is a connection to the account of the edge's mesh that may do anything, Uplink one to the account of the hub with the edge's inbox
	// prefix. Link identifies the leaf connection, 0 while there is none.
	Local, Uplink *nats.Conn
	Link          func() uint64
	// SystemSeed is the nkey seed of the edge's system user, which may purge the outbox.
	SystemSeed []byte
	// Auth and Consent are connections of these NATS users to the edge's mesh, whose buckets the mirror writes.
	Auth, Consent *mesh.Conn
	// Verifier verifies access tokens at the edge. It is needed before Run.
	Verifier *mesh.Verifier
	Log      *zap.Logger
	// Wall is the edge's clock, Mono the time since any moment by a clock that is never set.
	Wall func() time.Time
	Mono func() time.Duration
}

// Node is a running edge node.
type Node struct {
	options Options
	clock   *clock
	mirror  *mirror
	uplink  *uplink
	outbox  *outbox
	linkUp  wait.Signal
	// came is set when the leaf connection has come up.
	came atomic.Bool
	// fresh means that the sections were compared with the hub's since the leaf connection came up.
	fresh bool
}

// Open opens an edge node, and writes what it knows of the hub to the edge's buckets.
func Open(ctx context.Context, o Options) (*Node, error) {
	started := time.Now()
	if o.Wall == nil {
		o.Wall = time.Now
	}
	if o.Mono == nil {
		o.Mono = func() time.Duration { return time.Since(started) }
	}
	state, err := loadState(o)
	if err != nil {
		return nil, err
	}
	n := &Node{options: o, clock: newClock(o.Wall, o.Mono, state.Grant), mirror: newMirror(o.Auth, o.Consent, state), linkUp: wait.NewSignal()}
	n.uplink = newUplink(o.Name, o.Uplink, o.Link)
	js, err := mesh.NewJetStream(o.Local, mesh.UserSystem, o.SystemSeed, nil)
	if err != nil {
		return nil, fmt.Errorf("opening the edge's JetStream: %w", err)
	}
	if n.outbox, err = openOutbox(ctx, js, o.Config); err != nil {
		return nil, err
	}
	return n, n.mirror.restore(ctx)
}

// loadState reads what is known of the hub: from the folder, or else from the enrolment.
func loadState(o Options) (state State, err error) {
	err = readJSON(filepath.Join(o.Dir, stateFile), &state)
	if errors.Is(err, fs.ErrNotExist) {
		if o.First != nil {
			state = *o.First
		}
		err = nil
	}
	if err != nil {
		return state, err
	}
	var grant Grant
	err = readJSON(filepath.Join(o.Dir, grantFile), &grant)
	if err == nil && !grant.Hub.Before(state.Grant.Hub) {
		state.Grant = grant
	}
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return state, err
}

// UseVerifier sets the verifier, which needs the buckets that Open has filled.
func (n *Node) UseVerifier(v *mesh.Verifier) { n.options.Verifier = v }

// Run keeps contact with the hub, forwards calls and messages, and answers `$SRV` requests, until ctx ends.
func (n *Node) Run(ctx context.Context, ready func()) error {
	proxy, err := n.startProxy(ctx)
	if err != nil {
		return fmt.Errorf("subscribing to calls: %w", err)
	}
	defer proxy.close()
	service, err := n.startService()
	if err != nil {
		return err
	}
	defer func() { _ = service.Stop() }()
	f := &forwarder{outbox: n.outbox, uplink: n.uplink, log: n.options.Log, linked: n.linkUp}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return f.run(ctx) })
	group.Go(func() error { return n.watchLink(ctx) })
	group.Go(func() error { return n.keepResults(ctx) })
	group.Go(func() error { n.keepContact(ctx); return nil })
	group.Go(func() error { _ = wait.Every(ctx, saveEvery, n.saveClock); return nil })
	ready()
	err = group.Wait()
	n.saveClock()
	return err
}

// watchLink notices when the leaf connection is lost and when it has come up.
func (n *Node) watchLink(ctx context.Context) error {
	_ = wait.Every(ctx, linkPoll, func() {
		if n.uplink.observe() {
			n.came.Store(true)
			n.linkUp.Notify()
		}
	})
	return nil
}

// keepContact contacts the hub at intervals, and whenever the leaf connection has come up.
func (n *Node) keepContact(ctx context.Context) {
	var last time.Duration
	first := true
	_ = wait.Every(ctx, linkPoll, func() {
		up, came := n.uplink.linked(), n.came.Swap(false)
		if came {
			n.fresh = false
		}
		due := n.options.Mono()-last >= n.options.Config.ContactEvery
		if !up || !came && !first && !due {
			return
		}
		last = n.options.Mono()
		err := n.contact(ctx)
		if first = err != nil; err != nil && ctx.Err() == nil {
			n.options.Log.Info("no contact with the hub", zap.String("hub", n.options.Hub), zap.Error(err))
			n.fresh = false
		}
	})
}

// contact reports to the hub, takes the lease, and mirrors what has changed.
func (n *Node) contact(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, contactWithin)
	defer cancel()
	report, err := n.report(ctx)
	if err != nil {
		return err
	}
	asked, wall := n.options.Mono(), n.options.Wall()
	contact, err := call(ctx, n.uplink, subjects.ContactEdge, report)
	if err != nil {
		return err
	}
	// The hub's clock is that of some moment between the question and the answer; the middle errs by half of that at most.
	middle := wall.Add((n.options.Mono() - asked) / 2)
	n.mirror.enrol(contact.Enrolment)
	changed := false
	for _, name := range subjects.EdgeSections() {
		known, ok := n.mirror.section(name)
		if ok && n.fresh && known.Revision == contact.Revisions[name] {
			continue
		}
		section, err := n.uplink.fetch(ctx, name)
		if err != nil {
			return err
		}
		if err := n.mirror.apply(ctx, name, section); err != nil {
			return err
		}
		changed = changed || section.Revision != known.Revision
	}
	// Only now, because a lease says that what the edge knows is current.
	n.clock.granted(contact.Now, middle, asked, time.Duration(contact.LeaseMS)*time.Millisecond)
	n.fresh = true
	if changed {
		return n.save()
	}
	return nil
}

// report describes the edge to the hub.
func (n *Node) report(ctx context.Context) (subjects.ContactEdgeRequest, error) {
	messages, bytes, oldest, err := n.outbox.size(ctx)
	report := subjects.ContactEdgeRequest{
		Version: n.options.Version, Hub: n.options.Hub, OutboxMessages: messages, OutboxBytes: bytes,
		SkewMS: n.clock.skew().Milliseconds(), Refused: n.outbox.refused.Load(),
	}
	if messages > 0 {
		report.LagMS = max(n.options.Wall().Sub(oldest).Milliseconds(), 0)
	}
	return report, err
}

// save stores everything that is known of the hub.
func (n *Node) save() error {
	return writeJSON(filepath.Join(n.options.Dir, stateFile), n.mirror.state(n.clock.state()))
}

// saveClock stores the lease and what the clocks have shown.
func (n *Node) saveClock() {
	if err := writeJSON(filepath.Join(n.options.Dir, grantFile), n.clock.state()); err != nil {
		n.options.Log.Error("storing the lease", zap.Error(err))
	}
}

// Now is the hub's time, as far as the edge knows it.
func (n *Node) Now() time.Time { return n.clock.now() }

// AsOf is the time of the last contact, by the hub's clock.
func (n *Node) AsOf() time.Time { return n.clock.state().Hub }

// Permit refuses everything past the lease, and users whom the edge is not enrolled for. It permits what has no user.
func (n *Node) Permit(userID string) error {
	if n.clock.left() == 0 {
		return errLeaseExpired
	}
	if userID != "" && !n.mirror.permits(userID) {
		return &subjects.Error{
			Code: subjects.CodeForbidden, Reason: subjects.ReasonEdgeNotEnrolled, Detail: "this edge node is not enrolled for the user",
		}
	}
	return nil
}

// Actor is what the actors at the edge are given; nil for a nil Node.
func (n *Node) Actor() *actors.Edge {
	if n == nil {
		return nil
	}
	return &actors.Edge{
		Permit: n.Permit, AsOf: n.AsOf, Workflows: n.mirror.workflowsNow,
		Keep: func(ctx context.Context, id string, m subjects.EdgeMessage) error {
			m.At = n.Now().UTC()
			return n.outbox.keep(ctx, id, m)
		},
	}
}

// First makes a first contact with a hub and returns the state to be packed into credentials. The lease begins with it.
func First(ctx context.Context, name, version string, conn *nats.Conn, link func() uint64) (*State, error) {
	u := newUplink(name, conn, link)
	state := &State{Sections: map[string]Section{}}
	wall := time.Now()
	contact, err := call(ctx, u, subjects.ContactEdge, subjects.ContactEdgeRequest{Version: version, Hub: "enrolment"})
	if err != nil {
		return nil, err
	}
	for _, name := range subjects.EdgeSections() {
		if state.Sections[name], err = u.fetch(ctx, name); err != nil {
			return nil, err
		}
	}
	state.Enrolment = contact.Enrolment
	lease := time.Duration(contact.LeaseMS) * time.Millisecond
	state.Grant = Grant{Hub: contact.Now.UTC(), Wall: wall.UTC().Round(0), Lease: lease, High: wall.UTC().Round(0)}
	return state, nil
}

// Prepare creates the folder of the state.
func Prepare(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("creating the data folder: %w", err)
	}
	return nil
}
