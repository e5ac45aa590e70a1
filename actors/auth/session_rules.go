package auth

import (
	"crypto/hmac"
	"time"

	"github.com/weftmesh/weft/subjects"
)

// session is an entry of the bucket auth_sessions, under sessionKey.
type session struct {
	ID     string `json:"id"`
	UserID string `json:"user_id"`
	Method string `json:"method"`
	// TwoFactors is set if the session was started with two factors, or if a second one was set up since.
	TwoFactors bool      `json:"two_factors,omitempty"`
	Device     string    `json:"device"`
	IP         string    `json:"ip"`
	CreatedAt  time.Time `json:"created_at"`
	// RefreshedAt is the time of the last refresh, and RefreshedBy the origin of the client that made it.
	RefreshedAt time.Time `json:"refreshed_at"`
	RefreshedBy []byte    `json:"refreshed_by,omitempty"`
	// DeviceHash is the hash of the device token issued at the sign-in.
	DeviceHash []byte    `json:"device_sum,omitempty"`
	ExpiresAt  time.Time `json:"expires_at"`
	// IdleAt is when the session ends unless it is refreshed before; zero for no idle timeout.
	IdleAt time.Time `json:"idle_at,omitzero"`
	// Epoch is the account's epoch at sign-in. Sessions of an older epoch are invalid.
	Epoch int64 `json:"epoch"`
	// Current and Previous are the hashes of the refresh token and of its predecessor.
	Current  []byte `json:"current"`
	Previous []byte `json:"previous,omitempty"`
	// Successor is the sealed current refresh token, which a repeated exchange of the previous one returns.
	Successor []byte `json:"successor,omitempty"`
}

// sessionRef identifies a session; the zero value means none.
type sessionRef struct {
	UserID    string `json:"user_id"`
	SessionID string `json:"session_id"`
}

// sessionExpiry is the part of a session that is needed to count it.
type sessionExpiry struct {
	UserID    string    `json:"user_id"`
	Epoch     int64     `json:"epoch"`
	ExpiresAt time.Time `json:"expires_at"`
	IdleAt    time.Time `json:"idle_at,omitzero"`
}

// endsAt returns when the session ends if it is not refreshed.
func (m sessionExpiry) endsAt() time.Time {
	if !m.IdleAt.IsZero() && m.IdleAt.Before(m.ExpiresAt) {
		return m.IdleAt
	}
	return m.ExpiresAt
}

func (s session) endsAt() time.Time {
	return sessionExpiry{ExpiresAt: s.ExpiresAt, IdleAt: s.IdleAt}.endsAt()
}

// touch restarts the idle timeout; an idle of 0 means none.
func (s *session) touch(now time.Time, idle time.Duration) {
	s.IdleAt = time.Time{}
	if idle > 0 {
		s.IdleAt = now.Add(idle)
	}
}

func (s session) view(current string) subjects.SessionInfo {
	return subjects.SessionInfo{
		SessionID: s.ID, Device: s.Device, IP: s.IP, CreatedAt: s.CreatedAt, LastSeenAt: s.RefreshedAt,
		ExpiresAt: s.ExpiresAt, IdleAt: s.IdleAt, Current: s.ID == current,
	}
}

// refreshVerdict is the result of session.classify.
type refreshVerdict int

const (
	// tokenCurrent: the current token, to be exchanged for a successor.
	tokenCurrent refreshVerdict = iota
	// tokenRepeated: exchanged within the grace period by the same client, which repeated the call or lost the reply.
	tokenRepeated
	// tokenReused: exchanged earlier, or by another client, so two parties have it.
	tokenReused
)

// client is the fingerprint of a client that presents a refresh token.
type client struct {
	// device is the hash of its device token, nil if it sent none; origin is the hash of its network and user agent.
	device, origin []byte
}

// sameClient reports whether a client made the last refresh: by the session's device token or, if the client sent none,
// by its origin.
func (s session) sameClient(by client) bool {
	if by.device != nil {
		return hmac.Equal(by.device, s.DeviceHash)
	}
	return hmac.Equal(by.origin, s.RefreshedBy)
}

// classify returns what a refresh token of this session, with a valid MAC, means at a time.
func (s session) classify(hash []byte, by client, now time.Time, grace time.Duration) refreshVerdict {
	switch {
	case hmac.Equal(hash, s.Current):
		return tokenCurrent
	case len(s.Previous) > 0 && hmac.Equal(hash, s.Previous) && now.Before(s.RefreshedAt.Add(grace)) && s.sameClient(by):
		return tokenRepeated
	}
	return tokenReused
}
