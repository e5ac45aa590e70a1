package kv

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// verifiers are the processes that check access tokens themselves.
var verifiers = []string{"integration", "workflow", "consent", "notification", "gateway"}

// The buckets of the mesh.
var (
	AuthSessions = Spec{
		Name:      "auth_sessions",
		Owner:     "auth",
		MarkerTTL: time.Minute,
		Doc:       "Sessions by id; each key lives as long as its session.",
	}
	AuthKeys = Spec{
		Name:    "auth_keys",
		Owner:   "auth",
		Readers: verifiers,
		Doc:     "Public keys that access tokens are verified with.",
	}
	AuthRevoked = Spec{
		Name:      "auth_revoked",
		Owner:     "auth",
		Readers:   verifiers,
		MarkerTTL: 10 * time.Minute,
		Doc:       "Ids of revoked sessions; each key lives as long as an access token of the session may.",
	}
	AuthAttempts = Spec{
		Name:     "auth_attempts",
		Owner:    "auth",
		MaxBytes: 64 << 20,
		Doc:      "Failed logins by account and source; each key lives as long as the failures count.",
	}
	AuthOAuthState = Spec{
		Name:     "auth_oauth_state",
		Owner:    "auth",
		MaxBytes: 64 << 20,
		Doc:      "Sign-ins under way at providers, sealed, by a hash of their state; each key lives as long as its state.",
	}
	IntegrationOAuthState = Spec{
		Name:     "integration_oauth_state",
		Owner:    "integration",
		MaxBytes: 64 << 20,
		Doc:      "Accounts being connected at providers, sealed, by a hash of their state; each key lives as long as its state.",
	}
	AuthCeremonies = Spec{
		Name:     "auth_ceremonies",
		Owner:    "auth",
		MaxBytes: 64 << 20,
		Doc:      "Passkeys being made or used, by a hash of the ceremony's id; each key lives as long as its ceremony.",
	}
	ConsentState = Spec{
		Name:    "consent_state",
		Owner:   "consent",
		Readers: []string{"auth", "integration", "workflow", "notification"},
		Doc:     "The state of each consent, for those who act under it.",
	}
	// Guards is durable: a server that crashed and came back without a lease would hide its holder, who goes on
	// believing in it.
	Guards = Spec{
		Name:    "guards",
		Writers: []string{"auth", "integration", "workflow", "consent", "notification", "gateway"},
		Readers: []string{"auth", "consent"},
		TTL:     5 * time.Second,
		Direct:  true,
		Doc:     "Leases of the processes that hold a guard: <user>.<process>, alive while renewed.",
	}
	GatewayLimits = Spec{
		Name:     "gateway_limits",
		Owner:    "gateway",
		Storage:  Volatile,
		MaxBytes: 64 << 20,
		Doc:      "Rate-limit windows; each key lives for two windows.",
	}
	IntegrationLimits = Spec{
		Name:     "integration_limits",
		Owner:    "integration",
		Storage:  Volatile,
		MaxBytes: 64 << 20,
		Doc:      "What was taken of providers' limits; each key lives for two periods of its limit.",
	}
)

// All lists the buckets of the mesh, by name.
func All() []Spec {
	return []Spec{
		AuthAttempts, AuthCeremonies, AuthKeys, AuthOAuthState, AuthRevoked, AuthSessions, ConsentState, GatewayLimits, Guards,
		IntegrationLimits, IntegrationOAuthState,
	}
}

// Create makes every bucket and object store of the mesh, or brings an existing one to its Spec; it keeps the data and the options
// that a Spec does not decide, and repeated it changes nothing. (A Volatile bucket is emptied when replicas changes
// between one and more.) It is for setup alone: it needs $JS.API.STREAM.INFO, CREATE, UPDATE and DELETE for the
// buckets. replicas is 1, 3 or 5.
func Create(ctx context.Context, js jetstream.JetStream, replicas int) error {
	if err := CreateSpecs(ctx, js, replicas, All()...); err != nil {
		return err
	}
	for _, spec := range ObjectStores() {
		if err := createStream(ctx, js, spec, replicas, false); err != nil {
			return translate("creating object store "+spec.Name, explainRoom(err))
		}
	}
	return nil
}

// CreateSpecs is Create for the given buckets.
func CreateSpecs(ctx context.Context, js jetstream.JetStream, replicas int, specs ...Spec) error {
	for _, spec := range specs {
		err := spec.check()
		if err == nil {
			err = createStream(ctx, js, spec, replicas, spec.Storage == Volatile)
		}
		if err != nil {
			return translate("creating bucket "+spec.Name, explainRoom(err))
		}
	}
	return nil
}

// errCodeNoStorage is the server's answer where its limit leaves no room for what a stream reserves.
const errCodeNoStorage jetstream.ErrorCode = 10047

// explainRoom says, where the server has no room for what is to be made, what would make some.
func explainRoom(err error) error {
	var api *jetstream.APIError
	if !errors.As(err, &api) || api.ErrorCode != errCodeNoStorage {
		return err
	}
	var reserved int64
	for _, spec := range All() {
		reserved += spec.MaxBytes
	}
	return fmt.Errorf("the NATS server has no room for it: the buckets reserve %d MiB, and JetStream takes three quarters of the disk that is "+
		"free when it starts, or its max_file_store: free some or raise that, and start it anew: %w", reserved>>20, err)
}

// streamed is what is kept in a stream: a bucket, or an object store.
type streamed interface {
	Stream() string
	apply(config jetstream.StreamConfig, replicas int) jetstream.StreamConfig
}

// createStream makes what is kept in a stream, or brings an existing one to its spec. What is volatile may be emptied for it.
func createStream(ctx context.Context, js jetstream.JetStream, spec streamed, replicas int, volatile bool) error {
	stream, err := js.Stream(ctx, spec.Stream())
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		_, err = js.CreateStream(ctx, spec.apply(jetstream.StreamConfig{}, replicas))
		if errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) {
			stream, err = js.Stream(ctx, spec.Stream())
		}
	}
	if err != nil || stream == nil {
		return err
	}
	is := stream.CachedInfo().Config
	want := spec.apply(is, replicas)
	if reflect.DeepEqual(is, want) {
		return nil
	}
	if volatile && (is.Storage != want.Storage || is.PersistMode != want.PersistMode) {
		// The server cannot change where a stream is kept, and what is volatile may go.
		if err := js.DeleteStream(ctx, spec.Stream()); err != nil {
			return err
		}
		_, err = js.CreateStream(ctx, want)
		return err
	}
	_, err = js.UpdateStream(ctx, want)
	return err
}

// check refuses a Spec that contradicts itself.
func (s Spec) check() error {
	switch {
	case !plainToken(s.Name):
		return fmt.Errorf("%w: bucket name %q", ErrInvalidArgument, s.Name)
	case (s.Owner == "") == (len(s.Writers) == 0):
		return fmt.Errorf("%w: bucket %s needs an owner or writers, not both", ErrInvalidArgument, s.Name)
	case s.MarkerTTL != 0 && s.MarkerTTL < time.Second:
		return fmt.Errorf("%w: bucket %s keeps markers for less than a second", ErrInvalidArgument, s.Name)
	case slices.ContainsFunc(s.Writers, func(w string) bool { return !plainToken(w) }):
		return fmt.Errorf("%w: bucket %s has a writer that is no token", ErrInvalidArgument, s.Name)
	}
	return nil
}
