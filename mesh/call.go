package mesh

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/weftmesh/weft/subjects"
)

// As says for whom a call is made. The zero value is nobody: only public endpoints answer it.
type As struct {
	// Token is a user's access token.
	Token string
	// Service calls as this connection's own NATS user, for UserID.
	Service bool
	// UserID is the user a service acts for.
	UserID string
	// Grant is the consent a service acts under; its UserID is As's.
	Grant Grant
}

// Grant is the consent under which something is done on a user's behalf.
type Grant struct {
	// UserID is the user who gave it.
	UserID string `json:"user_id"`
	// Scope is what it was given for.
	Scope string `json:"scope"`
	// ConsentID is the consent's id.
	ConsentID string `json:"consent_id"`
}

// Call calls an endpoint and decodes its reply. The error is a *subjects.Error: the responder's own,
// CodeUnavailable where nobody answers, CodeTimeout where ctx ends first. Without a deadline in ctx the
// endpoint's own timeout bounds the call.
func Call[Req, Res any](
	ctx context.Context, c *Conn, e subjects.Endpoint[Req, Res], req Req, as As,
) (Res, error) {
	var res Res
	data, err := json.Marshal(req)
	if err != nil {
		return res, fmt.Errorf("encoding a request for %s: %w", e.Subject, err)
	}
	d := e.Describe()
	header := nats.Header{}
	subject := d.Subject
	if as.Service {
		subject = d.ServiceSubject(c.User)
		header.Set(HeaderUserID, as.UserID)
		if as.Grant.ConsentID != "" {
			header.Set(HeaderGrantID, as.Grant.ConsentID)
			header.Set(HeaderGrantScope, as.Grant.Scope)
		}
	} else if as.Token != "" {
		header.Set(HeaderAuthorization, "Bearer "+as.Token)
	}
	ctx, cancel := context.WithTimeout(ctx, d.Timeout)
	defer cancel()
	reply, err := c.Forward(ctx, subject, header, data)
	if err != nil {
		return res, err
	}
	if len(reply.Data) == 0 {
		return res, nil
	}
	if err := json.Unmarshal(reply.Data, &res); err != nil {
		return res, fmt.Errorf("decoding a reply of %s: %w", e.Subject, err)
	}
	return res, nil
}

// Forward sends a request with the deadline, trace and request id of ctx added to header and returns
// the reply. The error is a *subjects.Error; the responder's own comes with the reply, for its headers.
func (c *Conn) Forward(ctx context.Context, subject string, header nats.Header, data []byte) (*nats.Msg, error) {
	if int64(len(data)) > c.MaxPayload() {
		return nil, subjects.Errorf(subjects.CodeTooLarge, "the message has %d bytes, the limit is %d", len(data), c.MaxPayload())
	}
	SetTimeout(ctx, header)
	Propagator.Inject(ctx, Carrier(header))
	if id := RequestID(ctx); id != "" {
		header.Set(HeaderRequestID, id)
	}
	reply, err := c.RequestMsgWithContext(ctx, &nats.Msg{Subject: subject, Header: header, Data: data})
	if err != nil {
		return nil, transportError(ctx, err)
	}
	if reply.Header.Get(HeaderErrorCode) != "" {
		return reply, subjects.ParseProblem(reply.Data)
	}
	return reply, nil
}

// transportError codes what the transport says.
func transportError(ctx context.Context, err error) error {
	if errors.Is(err, nats.ErrNoResponders) {
		return &subjects.Error{
			Code: subjects.CodeUnavailable, Detail: "nobody serves this right now", RetryAfter: time.Second, Cause: err,
		}
	}
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, nats.ErrTimeout) {
		return &subjects.Error{Code: subjects.CodeTimeout, Detail: "no answer in time", Cause: err}
	}
	if ctx.Err() != nil {
		return &subjects.Error{Code: subjects.CodeTimeout, Detail: "the caller went away", Cause: err}
	}
	if errors.Is(err, nats.ErrMaxPayload) {
		return &subjects.Error{Code: subjects.CodeTooLarge, Detail: "the message is past the payload limit", Cause: err}
	}
	return &subjects.Error{
		Code: subjects.CodeUnavailable, Detail: "the mesh cannot be reached", RetryAfter: time.Second, Cause: err,
	}
}
