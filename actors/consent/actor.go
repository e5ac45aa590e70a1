// Package consent is the actor that keeps what users allow.
//
// It owns the subjects weft.v1.consent.*, the tables consents, consent_entries and consent_subjects, the bucket
// consent_state that every guard reads, the stream CONSENT_LEDGER and the event consent.changed.
//
// Its promise: once revoke_consent has answered, nothing starts under that consent, at any node. What
// gives a right is written to SQL first and to the bucket then; what takes one away goes the other way
// round. A crash in between errs to deny, and is mended at the next start.
package consent

import (
	"context"
	"embed"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/kv"
	"github.com/weftmesh/weft/subjects"
)

// Migrations are the actor's tables.
//
//go:embed migrations/*.sql
var Migrations embed.FS

// Config are the actor's settings.
type Config struct {
	// Expiry is how long a consent lasts that names no end.
	Expiry time.Duration `koanf:"expiry"`
	// MaxExpiry bounds how long a consent may last.
	MaxExpiry time.Duration `koanf:"max_expiry"`
}

// DefaultConfig is 365 days, at most ten years.
func DefaultConfig() Config {
	return Config{Expiry: 365 * 24 * time.Hour, MaxExpiry: 10 * 365 * 24 * time.Hour}
}

// Actor keeps consents.
type Actor struct {
	actors.Deps
	config      Config
	states      *kv.Bucket[subjects.ConsentState]
	changes     *prometheus.CounterVec
	validations *prometheus.CounterVec
}

// New makes the actor.
func New(d actors.Deps, c Config) (*Actor, error) {
	if err := c.Check(); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), startupTimeout)
	defer cancel()
	states, err := kv.Open[subjects.ConsentState](ctx, d.Conn.JS, kv.ConsentState)
	if err != nil {
		return nil, fmt.Errorf("opening the bucket of states: %w", err)
	}
	a := &Actor{Deps: d, config: c, states: states}
	a.changes = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "consent_changes_total", Help: "Changes of consents by scope and kind: granted, superseded, revoked.",
	}, []string{"scope", "change"})
	a.validations = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "consent_validations_total", Help: "Answers of validate_consent by reason.",
	}, []string{"reason"})
	d.Metrics.MustRegister(a.changes, a.validations)
	return a, nil
}

// Service is the actor as the runtime runs it.
func (a *Actor) Service() actors.Service {
	return actors.Service{
		Name: "consent",
		Bindings: []actors.Binding{
			actors.Bind(subjects.GrantConsent, a.grant),
			actors.Bind(subjects.RevokeConsent, a.revoke),
			actors.Bind(subjects.ValidateConsent, a.validate),
			actors.Bind(subjects.BulkValidateConsents, a.validateBulk),
			actors.Bind(subjects.GetConsent, a.get),
			actors.Bind(subjects.GetReceipt, a.receipt),
			actors.Bind(subjects.ListConsents, a.list),
			actors.Bind(subjects.GetConsentHistory, a.history),
			actors.Bind(subjects.ListScopes, a.scopes),
		},
		Workers:    []actors.Worker{actors.OnErasure(a.Deps, subjects.ConsentForgets, subjects.ConsentErased, a.forget)},
		Background: map[string]func(context.Context) error{"reconcile": a.reconcile},
	}
}
