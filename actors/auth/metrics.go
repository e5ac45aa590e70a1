package auth

import (
	"errors"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/weftmesh/weft/actors/auth/lockout"
	"github.com/weftmesh/weft/actors/auth/password"
	"github.com/weftmesh/weft/kv"
	"github.com/weftmesh/weft/subjects"
)

// metrics are the actor's metrics. auth_active_sessions counts the sessions of the whole mesh: every copy of the actor
// reports the same number, so aggregate with max, not sum.
type metrics struct {
	registrations prometheus.Counter
	deletions     prometheus.Counter
	takeovers     prometheus.Counter
	logins        *prometheus.CounterVec
	oauthLogins   *prometheus.CounterVec
	validations   *prometheus.CounterVec
}

func newMetrics(
	r prometheus.Registerer, sessions *kv.Map[sessionExpiry], p *password.Hasher, now func() time.Time,
) (*metrics, error) {
	m := &metrics{
		registrations: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "auth_registrations_total", Help: "Accounts created.",
		}),
		deletions: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "auth_account_deletions_total", Help: "Accounts deleted by their owners.",
		}),
		takeovers: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "auth_account_takeovers_total", Help: "Unverified accounts erased because the owner of their address arrived.",
		}),
		logins: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "auth_logins_total", Help: "Sign-ins by result: success, mfa_required, failure, locked, busy, error.",
		}, []string{"result"}),
		oauthLogins: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "auth_oauth_logins_total",
			Help: "OAuth callbacks by provider and result: success, mfa_required, failure, conflict, error.",
		}, []string{"provider", "result"}),
		validations: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "auth_token_validations_total", Help: "Calls of validate_token by result: valid, invalid, error.",
		}, []string{"result"}),
	}
	active := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "auth_active_sessions", Help: "Live sessions in the mesh; every copy of auth reports the same number.",
	}, func() float64 { return activeSessions(sessions, now()) })
	hashes := prometheus.NewCounterFunc(prometheus.CounterOpts{
		Name: "auth_password_hashes_total", Help: "Passwords hashed or compared.",
	}, func() float64 { return float64(p.Hashes.Load()) })
	for _, c := range []prometheus.Collector{m.registrations, m.deletions, m.takeovers, m.logins, m.oauthLogins, m.validations, active, hashes} {
		if err := r.Register(c); err != nil {
			return nil, fmt.Errorf("registering metrics: %w", err)
		}
	}
	return m, nil
}

func activeSessions(sessions *kv.Map[sessionExpiry], now time.Time) float64 {
	live := 0.
	sessions.Range(func(s kv.Entry[sessionExpiry]) bool {
		if now.Before(s.Value.endsAt()) {
			live++
		}
		return true
	})
	return live
}

// oauthLogin counts a callback from a configured provider by its result.
func (m *metrics) oauthLogin(provider string, s subjects.Session, err error) {
	result := "error"
	switch subjects.CodeOf(err) {
	case "":
		result = "success"
		if s.MFAToken != "" {
			result = "mfa_required"
		}
	case subjects.CodeUnauthenticated, subjects.CodeInvalid, subjects.CodeForbidden:
		result = "failure"
	case subjects.CodeConflict:
		result = "conflict"
	}
	m.oauthLogins.WithLabelValues(provider, result).Inc()
}

// login counts a sign-in by its result.
func (m *metrics) login(s subjects.Session, err error) {
	result := "error"
	switch subjects.CodeOf(err) {
	case "":
		result = "success"
		if s.MFAToken != "" {
			result = "mfa_required"
		}
	case subjects.CodeUnauthenticated, subjects.CodeInvalid, subjects.CodeForbidden:
		result = "failure"
	case subjects.CodeRateLimited:
		result = "busy"
		if errors.Is(err, lockout.ErrLocked) {
			result = "locked"
		}
	}
	m.logins.WithLabelValues(result).Inc()
}
