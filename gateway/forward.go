package gateway

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"

	"github.com/nats-io/nats.go"

	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

// forward sends a message to an endpoint through the breaker of its actor. An error that the actor replied with comes with
// its message. clientDeadline says that the deadline of ctx is the client's, so that exceeding it does not count against the
// actor.
func (g *Gateway) forward(
	ctx context.Context, d *subjects.Descriptor, h nats.Header, data []byte, clientDeadline bool,
) (*nats.Msg, error) {
	b := g.breakers[d.Actor]
	done, err := b.allow(ctx, g.Conn)
	if err != nil {
		return nil, err
	}
	reply, err := g.Conn.Forward(ctx, d.Subject, h, data)
	outcome := err
	if err != nil && (clientDeadline || context.Cause(ctx) == context.Canceled) && !noResponders(err) { //nolint:errorlint // compares the cause itself
		outcome = errClientDeadline
	}
	done(outcome)
	return reply, err
}

// call calls an endpoint with the caller's token and decodes its reply. The request is validated first, so that an invalid
// one is rejected without a NATS request.
func call[Req, Res any](ctx context.Context, rc *requestContext, e subjects.Endpoint[Req, Res], request Req) (reply Res, err error) {
	d := e.Describe()
	data, err := subjects.Encode(request)
	if err != nil {
		return reply, fmt.Errorf("encoding a request for %s: %w", d.Name(), err)
	}
	if err := d.Validate(data); err != nil {
		return reply, err
	}
	header := nats.Header{mesh.HeaderAuthorization: {"Bearer " + rc.caller.token}}
	message, err := rc.g.forward(ctx, d, header, data, false)
	if err != nil {
		return reply, err
	}
	decoder := json.NewDecoder(bytes.NewReader(message.Data))
	decoder.UseNumber() // free-form JSON, such as a connection's settings, keeps its digits
	if err := decoder.Decode(&reply); err != nil {
		return reply, fmt.Errorf("decoding a reply of %s: %w", d.Name(), err)
	}
	return reply, nil
}
