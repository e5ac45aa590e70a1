package kv

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// verifiers are the processes that verify access tokens themselves.
var verifiers = []string{"integration", "workflow", "consent", "notification", "gateway"}

// The buckets of the mesh.
var (
	AuthSessions = Spec{
		Name:  "auth_sessions",
		Owner: "auth",
		Doc:   "Sessions by id. A key expires with its session.",
	}
	AuthKeys = Spec{
		Name:    "auth_keys",
		Owner:   "auth",
		Readers: verifiers,
		Doc:     "Public keys that verify access tokens.",
	}
	AuthRevoked = Spec{
		Name:    "auth_revoked",
		Owner:   "auth",
		Readers: verifiers,
		Doc:     "Ids of revoked sessions, kept for the maximum lifetime of an access token.",
	}
	AuthBlocked = Spec{
		Name:    "auth_blocked",
		Owner:   "auth",
		Readers: verifiers,
		Doc:     "Accounts for which nothing may start: disabled ones, and deleted ones until their access tokens have expired.",
	}
	AuthAttempts = Spec{
		Name:     "auth_attempts",
		Owner:    "auth",
		MaxBytes: 64 << 20,
		Doc:      "Failed logins by account and network, kept as long as they count.",
	}
	AuthOAuthState = Spec{
		Name:     "auth_oauth_state",
		Owner:    "auth",
		MaxBytes: 64 << 20,
		Doc:      "Pending sign-ins at providers, sealed, by a hash of their state. A key expires with its state.",
	}
	IntegrationOAuthState = Spec{
		Name:     "integration_oauth_state",
		Owner:    "integration",
		MaxBytes: 64 << 20,
		Doc:      "Pending authorizations of connections, sealed, by a hash of their state. A key expires with its state.",
	}
	AuthCeremonies = Spec{
		Name:     "auth_ceremonies",
		Owner:    "auth",
		MaxBytes: 64 << 20,
		Doc:      "Pending passkey ceremonies, by a hash of their id. A key expires with its ceremony.",
	}
	ConsentState = Spec{
		Name:    "consent_state",
		Owner:   "consent",
		Readers: []string{"auth", "integration", "workflow", "notification"},
		Doc:     "The current state of each consent, for the actors that act under it.",
	}
	// Guards is on disk because a server that lost a lease in a crash would hide its holder, which still considers the lease
	// valid.
	Guards = Spec{
		Name:    "guards",
		Writers: []string{"auth", "integration", "workflow", "consent", "notification", "gateway"},
		Readers: []string{"auth", "consent"},
		TTL:     5 * time.Second,
		Doc:     "Leases of the processes with a guard: <user>.<process>, alive while renewed.",
	}
	GatewayLimits = Spec{
		Name:     "gateway_limits",
		Owner:    "gateway",
		Storage:  Volatile,
		MaxBytes: 64 << 20,
		Doc:      "Rate-limit windows. A key expires after two windows.",
	}
	IntegrationLimits = Spec{
		Name:     "integration_limits",
		Owner:    "integration",
		Storage:  Volatile,
		MaxBytes: 64 << 20,
		Doc:      "Usage of providers' rate limits. A key expires after two periods of its limit.",
	}
	NotificationLimits = Spec{
		Name:     "notification_limits",
		Owner:    "notification",
		Storage:  Volatile,
		MaxBytes: 32 << 20,
		Doc:      "Attempts of users' webhooks. A key expires after two minutes.",
	}
)

// All returns the buckets of the mesh, sorted by name.
func All() []Spec {
	return []Spec{
		AuthAttempts, AuthBlocked, AuthCeremonies, AuthKeys, AuthOAuthState, AuthRevoked, AuthSessions, ConsentState, GatewayLimits,
		Guards, IntegrationLimits, IntegrationOAuthState, NotificationLimits,
	}
}

// CreateSpecs creates those of the buckets that do not exist, with replicas copies each: 1, 3 or 5. It changes no existing bucket:
// package mesh compares those with their Specs, and only `weft migrate` changes them. The caller needs the rights to publish to
// $JS.API.STREAM.INFO and CREATE for the buckets.
func CreateSpecs(ctx context.Context, js jetstream.JetStream, replicas int, specs ...Spec) error {
	for _, spec := range specs {
		err := spec.check()
		if err == nil {
			err = createStream(ctx, js, spec, replicas)
		}
		if err != nil {
			return translate("creating bucket "+spec.Name, err)
		}
	}
	return nil
}

// errCodeNoStorage is the server's error code if its storage limit is below what a new stream reserves.
const errCodeNoStorage jetstream.ErrorCode = 10047

// ExplainStorage adds a remedy to the server's error about insufficient storage. It returns any other error as it is.
func ExplainStorage(err error) error {
	var api *jetstream.APIError
	if !errors.As(err, &api) || api.ErrorCode != errCodeNoStorage {
		return err
	}
	var reserved int64
	for _, spec := range All() {
		reserved += spec.MaxBytes
	}
	return fmt.Errorf("the NATS server has no room for it: the buckets reserve %d MiB, and JetStream is limited to its max_file_store or, by "+
		"default, to three quarters of the free disk space at its start; free disk space or raise the limit, and restart it: %w", reserved>>20, err)
}

// streamed is anything that is stored in a stream: a bucket or an object store.
type streamed interface {
	Stream() string
	Configure(config jetstream.StreamConfig, replicas int) jetstream.StreamConfig
}

// createStream creates the stream of a bucket or object store if it does not exist.
func createStream(ctx context.Context, js jetstream.JetStream, spec streamed, replicas int) error {
	_, err := js.Stream(ctx, spec.Stream())
	if !errors.Is(err, jetstream.ErrStreamNotFound) {
		return err
	}
	_, err = js.CreateStream(ctx, spec.Configure(jetstream.StreamConfig{}, replicas))
	if errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) {
		return nil // another process has created it
	}
	return ExplainStorage(err)
}

// check rejects an inconsistent Spec.
func (s Spec) check() error {
	switch {
	case !plainToken(s.Name):
		return fmt.Errorf("%w: bucket name %q", ErrInvalidArgument, s.Name)
	case (s.Owner == "") == (len(s.Writers) == 0):
		return fmt.Errorf("%w: bucket %s needs either an owner or writers", ErrInvalidArgument, s.Name)
	case s.PerWriter() && s.TTL == 0:
		return fmt.Errorf("%w: bucket %s is shared by writers, and its keys must expire", ErrInvalidArgument, s.Name)
	case slices.ContainsFunc(s.Writers, func(w string) bool { return !plainToken(w) }):
		return fmt.Errorf("%w: bucket %s has a writer that is not a valid token", ErrInvalidArgument, s.Name)
	}
	return nil
}
