package mesh

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nuid"
)

// JetStream is the JetStream of one NATS user. It signs what it publishes and verifies what others have published (docs/adr/0010).
type JetStream struct {
	jetstream.JetStream
	user     string
	identity *identity
	keyring  Keyring
	refused  func(subject string, err error)
}

// NewJetStream returns the JetStream of a connection whose NATS user has the nkey seed. keyring has the public keys of those whose
// messages it reads.
func NewJetStream(conn *nats.Conn, user string, seed []byte, keyring Keyring) (*JetStream, error) {
	js, err := jetstream.New(conn)
	if err != nil {
		return nil, fmt.Errorf("opening JetStream as %s: %w", user, err)
	}
	id, err := newIdentity(seed)
	if err != nil {
		return nil, err
	}
	return &JetStream{JetStream: js, user: user, identity: id, keyring: keyring}, nil
}

// Publish signs and publishes a message.
func (j *JetStream) Publish(
	ctx context.Context, subject string, data []byte, options ...jetstream.PublishOpt,
) (*jetstream.PubAck, error) {
	return j.PublishMsg(ctx, &nats.Msg{Subject: subject, Data: data}, options...)
}

// PublishMsg signs and publishes a message. Its headers must be complete: options that set one, such as WithMsgID, would make the
// message unverifiable.
func (j *JetStream) PublishMsg(ctx context.Context, m *nats.Msg, options ...jetstream.PublishOpt) (*jetstream.PubAck, error) {
	j.Sign(m)
	return j.JetStream.PublishMsg(ctx, m, options...)
}

// PublishAsync is Publish without waiting for the acknowledgement.
func (j *JetStream) PublishAsync(subject string, data []byte, options ...jetstream.PublishOpt) (jetstream.PubAckFuture, error) {
	return j.PublishMsgAsync(&nats.Msg{Subject: subject, Data: data}, options...)
}

// PublishMsgAsync is PublishMsg without waiting for the acknowledgement.
func (j *JetStream) PublishMsgAsync(m *nats.Msg, options ...jetstream.PublishOpt) (jetstream.PubAckFuture, error) {
	j.Sign(m)
	return j.JetStream.PublishMsgAsync(m, options...)
}

// Sign signs a message for its subject, headers, data and the present time. A message without a Nats-Msg-Id and without an expected
// sequence gets a new id, because the server must be able to refuse its repetition. What only the user itself reads is authenticated by
// a key that is derived from the seed, everything else by an Ed25519 signature.
func (j *JetStream) Sign(m *nats.Msg) {
	if m.Header == nil {
		m.Header = nats.Header{}
	}
	if !unrepeatable(m.Header) {
		m.Header.Set(jetstream.MsgIDHeader, nuid.Next())
	}
	m.Header.Set(HeaderSignature, j.identity.sign(m, time.Now(), isPrivate(j.user, m.Subject)))
}

// Token returns a string that stands for name, is the same in all processes of the user, and cannot be guessed by anybody else.
func (j *JetStream) Token(name string) string {
	return hex.EncodeToString(j.identity.authenticate([]byte("token " + name)))
}

// ErrAuthor says that a stored message was not published on its subject by the only user that may.
var ErrAuthor = errors.New("not published by its author")

// Verify checks that author has published a message on subject which the stream stored at stored. Its error is an ErrAuthor.
func (j *JetStream) Verify(author, subject string, header nats.Header, data []byte, stored time.Time) error {
	err := j.verify(author, subject, header, data, stored)
	if err != nil && j.refused != nil {
		j.refused(subject, err)
	}
	return err
}

func (j *JetStream) verify(author, subject string, header nats.Header, data []byte, stored time.Time) error {
	if !unrepeatable(header) {
		return fmt.Errorf("%w: it can be repeated", ErrAuthor)
	}
	key := j.keyring[author]
	if author == "" || key == "" {
		return fmt.Errorf("%w: no public key of %q is known", ErrAuthor, author)
	}
	var own *identity
	if author == j.user {
		own = j.identity
	}
	return verify(key, own, subject, header, data, stored)
}

// VerifyStored is Verify for a subject of a declared stream, whose author follows from the subject.
func (j *JetStream) VerifyStored(subject string, header nats.Header, data []byte, stored time.Time) error {
	return j.Verify(StreamAuthor(subject), subject, header, data, stored)
}

// VerifyMessage is VerifyStored for a message that a consumer delivered.
func (j *JetStream) VerifyMessage(m jetstream.Msg) error {
	meta, err := m.Metadata()
	if err != nil {
		return fmt.Errorf("%w: %w", ErrAuthor, err)
	}
	return j.VerifyStored(m.Subject(), m.Headers(), m.Data(), meta.Timestamp)
}

// unrepeatable reports whether the server refuses to store a message with these headers a second time, within its window of
// duplicates.
func unrepeatable(h nats.Header) bool {
	return h.Get(jetstream.MsgIDHeader) != "" || h.Get(jetstream.ExpectedLastSubjSeqHeader) != ""
}

// purgeRequest is the body of a purge (NATS ADR-2 and ADR-10).
type purgeRequest struct {
	Subject string `json:"filter,omitempty"`
	Before  uint64 `json:"seq,omitempty"`
}

// Purge deletes the messages of a stream on subject with sequences below before; 0 deletes all on the subject.
func (j *JetStream) Purge(ctx context.Context, stream, subject string, before uint64) error {
	body, err := json.Marshal(purgeRequest{Subject: subject, Before: before})
	if err != nil {
		return fmt.Errorf("encoding a purge: %w", err)
	}
	if _, bounded := ctx.Deadline(); !bounded {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, j.Options().DefaultTimeout)
		defer cancel()
	}
	return request(ctx, j.Conn(), j.identity.privileged("STREAM.PURGE."+stream), body)
}

// PurgeLater is Purge without waiting for its end. If it is lost, the messages stay until the next purge.
func (j *JetStream) PurgeLater(stream, subject string, before uint64) error {
	body, err := json.Marshal(purgeRequest{Subject: subject, Before: before})
	if err != nil {
		return fmt.Errorf("encoding a purge: %w", err)
	}
	return j.Conn().PublishRequest(j.identity.privileged("STREAM.PURGE."+stream), InboxPrefix(j.user)+".purged", body)
}

// DeleteStream deletes a stream.
func (j *JetStream) DeleteStream(ctx context.Context, stream string) error {
	return request(ctx, j.Conn(), j.identity.privileged("STREAM.DELETE."+stream), nil)
}

// request makes a request to JetStream's API whose answer says only whether it succeeded.
func request(ctx context.Context, conn *nats.Conn, subject string, body []byte) error {
	reply, err := conn.RequestWithContext(ctx, subject, body)
	if err != nil {
		return err
	}
	return answerError(reply.Data)
}

// answerError returns the error that an answer of JetStream's API has, if any.
func answerError(data []byte) error {
	var answer struct {
		Error *jetstream.APIError `json:"error"`
	}
	if err := json.Unmarshal(data, &answer); err != nil {
		return fmt.Errorf("decoding an answer of JetStream: %w", err)
	}
	if answer.Error != nil {
		return answer.Error
	}
	return nil
}
