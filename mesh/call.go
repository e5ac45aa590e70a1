package mesh

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go"

	"github.com/weftmesh/weft/subjects"
)

// As is the identity of a call. The zero value is anonymous: only public endpoints accept it.
type As struct {
	// Token is a user's access token.
	Token string
	// Service calls as this connection's NATS user, on behalf of UserID.
	Service bool
	// UserID is the user that a service acts for.
	UserID string
	// Grant is the consent that a service acts under. Its UserID is not sent.
	Grant Grant
	// Authority restricts a service to what the API keys may do that caused the call.
	Authority Authority
}

// Grant identifies the consent under which a service acts on a user's behalf.
type Grant struct {
	// UserID is the user who gave the consent.
	UserID string `json:"user_id"`
	// Scope is the scope that was consented to.
	Scope string `json:"scope"`
	// ConsentID is the consent's id.
	ConsentID string `json:"consent_id"`
}

// Call calls an endpoint and decodes its reply. Without a deadline in ctx the endpoint's timeout bounds the call. The error is the
// responder's *subjects.Error, or one of CodeUnavailable if no process responds, CodeTimeout if ctx ends first, or CodeTooLarge.
func Call[Req, Res any](
	ctx context.Context, c *Conn, e subjects.Endpoint[Req, Res], req Req, as As,
) (Res, error) {
	var res Res
	data, err := subjects.Encode(req)
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
		if as.Authority.Restricted() {
			header.Set(HeaderKeyIDs, as.Authority.Keys)
			header.Set(HeaderKeyScopes, as.Authority.Scopes)
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

// Forward sends a request with the deadline, trace context and request id of ctx added to header, and returns the reply. The error
// is a *subjects.Error. If the responder returned it, the reply is returned too, for its headers.
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

// transportError converts an error of NATS.
func transportError(ctx context.Context, err error) error {
	if errors.Is(err, nats.ErrNoResponders) {
		return &subjects.Error{
			Code: subjects.CodeUnavailable, Reason: subjects.ReasonNoResponders, Detail: "no process serves this request at present",
			RetryAfter: subjects.RetrySoon, Cause: err,
		}
	}
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, nats.ErrTimeout) {
		return &subjects.Error{Code: subjects.CodeTimeout, Detail: "no answer within the deadline", Cause: err}
	}
	if ctx.Err() != nil {
		return &subjects.Error{Code: subjects.CodeTimeout, Detail: "the caller cancelled the request", Cause: err}
	}
	if errors.Is(err, nats.ErrMaxPayload) {
		return &subjects.Error{Code: subjects.CodeTooLarge, Detail: "the message exceeds the payload limit", Cause: err}
	}
	return &subjects.Error{
		Code: subjects.CodeUnavailable, Reason: subjects.ReasonDisconnected, Detail: "NATS cannot be reached",
		RetryAfter: subjects.RetrySoon, Cause: err,
	}
}
