package edge

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

// uplink calls the hub over the leaf connection.
type uplink struct {
	name string
	conn *mesh.Conn
	// link identifies the leaf connection; 0 while there is none.
	link func() uint64

	mu sync.Mutex
	// seen is what link said last, and replaced is closed when it says something else.
	seen     uint64
	replaced chan struct{}
}

// newUplink returns the uplink of an edge node over a connection to the account of the hub.
func newUplink(name string, conn *nats.Conn, link func() uint64) *uplink {
	return &uplink{
		name: name, conn: &mesh.Conn{Conn: conn, User: mesh.EnrolledUser(subjects.KindEdge, name)}, link: link, replaced: make(chan struct{}),
	}
}

// linked reports whether the leaf connection is up.
func (u *uplink) linked() bool { return u.link() != 0 }

// observe looks at the leaf connection: calls that wait for an answer over an earlier one are given up. It reports whether there is a new
// connection.
func (u *uplink) observe() bool {
	id := u.link()
	u.mu.Lock()
	defer u.mu.Unlock()
	if id == u.seen {
		return false
	}
	u.seen = id
	close(u.replaced)
	u.replaced = make(chan struct{})
	return id != 0
}

// untilReplaced returns a context that ends when the leaf connection is lost.
func (u *uplink) untilReplaced(ctx context.Context) (context.Context, context.CancelFunc) {
	u.mu.Lock()
	replaced := u.replaced
	u.mu.Unlock()
	ctx, cancel := context.WithCancelCause(ctx)
	go func() {
		select {
		case <-replaced:
			cancel(errLost)
		case <-ctx.Done():
		}
	}()
	return ctx, func() { cancel(nil) }
}

// errOffline says that the hub cannot be reached.
var errOffline = &subjects.Error{
	Code: subjects.CodeUnavailable, Reason: subjects.ReasonEdgeOffline, RetryAfter: 5 * time.Second,
	Detail: "this edge node cannot reach its hub, and cannot answer by itself",
}

// errLost says that the connection was lost after a call was sent.
var errLost = subjects.Errorf(subjects.CodeTimeout, "the connection to the hub was lost before the answer; the hub may have carried out the call")

// forward sends a request to the hub and returns the reply, also where it is an error of the responder.
func (u *uplink) forward(ctx context.Context, subject string, header nats.Header, data []byte) (*nats.Msg, error) {
	if !u.linked() {
		return nil, errOffline
	}
	ctx, cancel := u.untilReplaced(ctx)
	defer cancel()
	reply, err := u.conn.Forward(ctx, subject, header, data)
	if reply == nil && errors.Is(context.Cause(ctx), errLost) {
		return nil, errLost
	}
	var problem *subjects.Error
	if reply == nil && errors.As(err, &problem) && problem.Reason == subjects.ReasonNoResponders && !u.linked() {
		return nil, errOffline
	}
	return reply, err
}

// call calls an endpoint of the hub as the edge node.
func call[Req, Res any](ctx context.Context, u *uplink, e subjects.Endpoint[Req, Res], req Req) (res Res, err error) {
	data, err := subjects.Encode(req)
	if err != nil {
		return res, fmt.Errorf("encoding a request for %s: %w", e.Subject, err)
	}
	d := e.Describe()
	ctx, cancel := context.WithTimeout(ctx, d.Timeout)
	defer cancel()
	reply, err := u.forward(ctx, d.EnrolledSubject(subjects.KindEdge, u.name), nats.Header{}, data)
	if err != nil {
		return res, err
	}
	if err := json.Unmarshal(reply.Data, &res); err != nil {
		return res, fmt.Errorf("decoding a reply of %s: %w", e.Subject, err)
	}
	return res, nil
}

// syncWithin bounds the pages of a section, so that one that changes all the time is given up for the moment.
const syncWithin = 1000

// fetch reads a whole section.
func (u *uplink) fetch(ctx context.Context, name string) (Section, error) {
	section := Section{Items: []subjects.EdgeItem{}}
	request := subjects.SyncEdgeRequest{Section: name}
	for range syncWithin {
		page, err := call(ctx, u, subjects.SyncEdge, request)
		if err != nil {
			return section, err
		}
		if page.Revision != section.Revision && section.Revision != "" { // changed between two pages
			section, request.After = Section{Items: []subjects.EdgeItem{}}, ""
			continue
		}
		section.Revision = page.Revision
		section.Items = append(section.Items, page.Items...)
		if !page.More {
			return section, nil
		}
		request.After = page.Items[len(page.Items)-1].Key
	}
	return section, fmt.Errorf("the section %s changes faster than it can be read", name)
}
