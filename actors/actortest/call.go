package actortest

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/nats-io/nats.go"

	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

// CallKeyed calls an endpoint as a user, with an idempotency key. It reports whether the reply was replayed.
func CallKeyed[Req, Res any](
	ctx context.Context, conn *mesh.Conn, e subjects.Endpoint[Req, Res], req Req, token, key string,
) (res Res, replayed bool, err error) {
	data, err := json.Marshal(req)
	if err != nil {
		return res, false, fmt.Errorf("encoding a request for %s: %w", e.Subject, err)
	}
	reply, err := conn.Forward(ctx, e.Subject, nats.Header{
		mesh.HeaderAuthorization: {"Bearer " + token}, mesh.HeaderIdempotencyKey: {key},
	}, data)
	if reply != nil {
		replayed = reply.Header.Get(mesh.HeaderIdempotencyReplayed) != ""
	}
	if err != nil {
		return res, replayed, err
	}
	if err := json.Unmarshal(reply.Data, &res); err != nil {
		return res, replayed, fmt.Errorf("decoding a reply of %s: %w", e.Subject, err)
	}
	return res, replayed, nil
}
