package mesh

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/jwt/v2"

	"github.com/weftmesh/weft/kv"
	"github.com/weftmesh/weft/subjects"
)

// Enrolled is a NATS user that an operator has admitted besides weft's own: an extension or an edge node.
type Enrolled struct {
	// Kind is subjects.KindExtension or subjects.KindEdge.
	Kind string `json:"kind"`
	// Name identifies the user among those of its kind: a lower-case letter, then at most 31 lower-case letters, digits and '-'. An
	// extension's is the namespace of its functions.
	Name string `json:"name"`
	// Key is the user's public nkey.
	Key string `json:"nkey"`
	// At is when the user was enrolled.
	At time.Time `json:"enrolled_at"`
	// Edge says what an edge node is enrolled for; nil for extensions, and for an edge node that is enrolled for nothing.
	Edge *subjects.Enrolment `json:"edge,omitempty"`
}

// MaxEnrolled bounds how many users can be enrolled: their list must fit into the metadata of a stream.
const MaxEnrolled = 500

// reservedNamespaces begin, or are, names of functions that the workflow language or weft itself defines.
var reservedNamespaces = []string{"a2a", "approval", "asyncapi", "echo", "ext", "grpc", "http", "mcp", "openapi", "weft"}

var enrolledName = regexp.MustCompile(`^[a-z][a-z0-9-]{0,31}$`)

// EnrolledUser returns the NATS user of an enrolled extension or edge node, such as edge-box7.
func EnrolledUser(kind, name string) string { return kind + "-" + name }

// FunctionInbox is the prefix of the inboxes in which the workflow actor receives what the extension of a name answers to its calls. Only
// that extension may publish to them, besides those that have received a request.
func FunctionInbox(name string) string { return InboxPrefix("workflow") + ".ext." + name }

// User is the NATS user, such as edge-box7. It names the inbox prefix.
func (e Enrolled) User() string { return EnrolledUser(e.Kind, e.Name) }

// connection is the only type of NATS connection that the user may use; empty allows every type.
func (e Enrolled) connection() string {
	if e.Kind == subjects.KindEdge {
		return jwt.ConnectionTypeLeafnode
	}
	return ""
}

// Check reports what is wrong with the kind, the name or the key.
func (e Enrolled) Check() error {
	switch {
	case !slices.Contains(subjects.EnrolledKinds(), e.Kind):
		return fmt.Errorf("the kind %q is none of %v", e.Kind, subjects.EnrolledKinds())
	case !enrolledName.MatchString(e.Name):
		return fmt.Errorf("the name %q must be a lower-case letter, then at most 31 lower-case letters, digits and hyphens", e.Name)
	case slices.Contains(Users(), e.Name):
		return fmt.Errorf("the name %q is one of weft's own NATS users", e.Name)
	case e.Kind == subjects.KindExtension && slices.Contains(reservedNamespaces, e.Name):
		return fmt.Errorf("the name %q is reserved: functions of weft's own and of the workflow language begin with it", e.Name)
	}
	if e.Edge != nil {
		if err := checkEdge(*e.Edge); err != nil {
			return err
		}
	}
	if _, err := decodePublic(e.Key); err != nil {
		return fmt.Errorf("the key of %s: %w", e.User(), err)
	}
	return nil
}

// checkEdge reports what is wrong with an edge node's enrolment.
func checkEdge(e subjects.Enrolment) error {
	for what, ids := range map[string][]string{"users": e.Users, "workflows": e.Workflows} {
		if len(ids) > subjects.MaxEdgeEntries {
			return fmt.Errorf("an edge node is enrolled for at most %d %s, not %d", subjects.MaxEdgeEntries, what, len(ids))
		}
		for _, id := range ids {
			if uuid.Validate(id) != nil {
				return fmt.Errorf("%s: %q is not an id", what, id)
			}
		}
	}
	return nil
}

// Permissions derives the user's permissions from the contract.
func (e Enrolled) Permissions() Permissions {
	p := Permissions{Subscribe: []string{InboxPrefix(e.User()) + ".>"}}
	for _, d := range subjects.Endpoints() {
		if d.Access.AllowsEnrolled(e.Kind) {
			p.publish(d.EnrolledSubject(e.Kind, e.Name))
		}
	}
	switch e.Kind {
	case subjects.KindEdge:
		p.publish(subjects.AnyEndpoint)
	case subjects.KindExtension:
		p.Responses = true
		p.Subscribe = append(p.Subscribe, subjects.FunctionsOf(e.Name))
		p.discovery(e.Name)
		// Any number of heartbeats before an answer. The server keeps no account of replies that are permitted so.
		p.publish(FunctionInbox(e.Name) + ".>")
	}
	return p.tidy()
}

// ParseEnrolled decodes what EncodeEnrolled has encoded; nil for no data.
func ParseEnrolled(data []byte) ([]Enrolled, error) {
	var list []Enrolled
	if len(data) == 0 {
		return nil, nil
	}
	if err := json.Unmarshal(data, &list); err != nil {
		return nil, fmt.Errorf("decoding the enrolled users: %w", err)
	}
	for _, e := range list {
		if err := e.Check(); err != nil {
			return nil, fmt.Errorf("decoding the enrolled users: %w", err)
		}
	}
	return list, nil
}

// EncodeEnrolled encodes the enrolled users as a list in JSON, in the order of kind and name.
func EncodeEnrolled(list []Enrolled) ([]byte, error) {
	sorted := slices.SortedFunc(slices.Values(list), func(a, b Enrolled) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Name, b.Name))
	})
	data, err := json.MarshalIndent(sorted, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("encoding the enrolled users: %w", err)
	}
	return append(data, '\n'), nil
}

// enrolledKey is the key of the enrolled users in the metadata of a stream's configuration.
const enrolledKey = "weft_enrolled"

// PublishEnrolled publishes the enrolled users, as the NATS user migrate, for processes that have no file of them.
func PublishEnrolled(ctx context.Context, js *JetStream, list []Enrolled) error {
	data, err := EncodeEnrolled(list)
	if err == nil {
		err = publishMetadata(ctx, js, enrolledKey, string(data))
	}
	if err != nil {
		return fmt.Errorf("publishing the enrolled users: %w", err)
	}
	return nil
}

// FetchEnrolled returns the enrolled users that PublishEnrolled has published. Every user of weft's own may call it.
func FetchEnrolled(ctx context.Context, js *JetStream) ([]Enrolled, error) {
	stream, err := js.Stream(ctx, kv.Guards.Stream())
	if err != nil {
		return nil, fmt.Errorf("reading the enrolled users: %w", err)
	}
	return ParseEnrolled([]byte(stream.CachedInfo().Config.Metadata[enrolledKey]))
}

// publishMetadata sets a key in the metadata of a stream that every user may read, as the NATS user migrate. Only migrate may change it: the
// server checks that, unlike who publishes what a stream holds.
func publishMetadata(ctx context.Context, js *JetStream, key, value string) error {
	stream, err := js.Stream(ctx, kv.Guards.Stream())
	if err != nil {
		return err
	}
	config := stream.CachedInfo().Config
	if config.Metadata[key] == value {
		return nil
	}
	config.Metadata = maps.Clone(config.Metadata)
	if config.Metadata == nil {
		config.Metadata = map[string]string{}
	}
	config.Metadata[key] = value
	_, err = js.UpdateStream(ctx, config)
	return err
}
