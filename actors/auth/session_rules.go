package auth

import (
	"bytes"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/weftmesh/weft/subjects"
)

// session is what the bucket auth_sessions keeps, under kv.EncodeKey(user, session).
type session struct {
	ID     string `json:"id"`
	UserID string `json:"user_id"`
	Method string `json:"method"`
	// TwoFactors: it was opened with two, or has set up the second since.
	TwoFactors bool      `json:"two_factors,omitempty"`
	Device     string    `json:"device"`
	IP         string    `json:"ip"`
	CreatedAt  time.Time `json:"created_at"`
	// RefreshedAt is when the refresh token was rotated last, and RefreshedBy sums up the client that did it.
	RefreshedAt time.Time `json:"refreshed_at"`
	RefreshedBy []byte    `json:"refreshed_by,omitempty"`
	// DeviceSum sums up the device token that the sign-in answered with.
	DeviceSum []byte    `json:"device_sum,omitempty"`
	ExpiresAt time.Time `json:"expires_at"`
	// IdleAt is when it ends unless it is refreshed before; zero: at ExpiresAt alone.
	IdleAt time.Time `json:"idle_at,omitzero"`
	// Epoch is the account's at sign-in: one from before the account's present epoch is dead.
	Epoch int64 `json:"epoch"`
	// Current and Previous are the hashes of the refresh token and of the one it succeeded.
	Current  []byte `json:"current"`
	Previous []byte `json:"previous,omitempty"`
	// Successor is the refresh token itself, sealed: what the previous one answers with during the grace.
	Successor []byte `json:"successor,omitempty"`
}

// sessionRef names a session; the zero value, none.
type sessionRef struct {
	UserID    string `json:"user_id"`
	SessionID string `json:"session_id"`
}

// sessionMark is the part of a session that is counted by.
type sessionMark struct {
	UserID    string    `json:"user_id"`
	Epoch     int64     `json:"epoch"`
	ExpiresAt time.Time `json:"expires_at"`
	IdleAt    time.Time `json:"idle_at,omitzero"`
}

// ends is when a session ends that is left alone.
func (m sessionMark) ends() time.Time {
	if !m.IdleAt.IsZero() && m.IdleAt.Before(m.ExpiresAt) {
		return m.IdleAt
	}
	return m.ExpiresAt
}

func (s session) ends() time.Time {
	return sessionMark{ExpiresAt: s.ExpiresAt, IdleAt: s.IdleAt}.ends()
}

// used moves the session's end by idleness; idle 0 is none.
func (s *session) used(now time.Time, idle time.Duration) {
	s.IdleAt = time.Time{}
	if idle > 0 {
		s.IdleAt = now.Add(idle)
	}
}

func (s session) info(current string) subjects.SessionInfo {
	return subjects.SessionInfo{
		SessionID: s.ID, Device: s.Device, IP: s.IP, CreatedAt: s.CreatedAt, LastSeenAt: s.RefreshedAt,
		ExpiresAt: s.ExpiresAt, IdleAt: s.IdleAt, Current: s.ID == current,
	}
}

// refreshVerdict is what a refresh token means to its session.
type refreshVerdict int

const (
	// rotateToken: it is the current one, and gets a successor.
	rotateToken refreshVerdict = iota
	// repeatToken: it was exchanged a moment ago, by this very device, which asked twice or lost the answer.
	repeatToken
	// reusedToken: it was exchanged before that, or by another device, so two parties hold it.
	reusedToken
)

// client is who presents a refresh token.
type client struct {
	// device sums up the device token it gave; nil: none. place sums up its network and what it calls itself.
	device, place []byte
}

// knows tells whether a client is the device that exchanged the refresh token last: by the session's device token, or,
// for a client that keeps none, by where it is and what it calls itself.
func (s session) knows(by client) bool {
	if by.device != nil {
		return hmac.Equal(by.device, s.DeviceSum)
	}
	return hmac.Equal(by.place, s.RefreshedBy)
}

// judge tells what a genuine refresh token of this session means now.
func (s session) judge(hash []byte, by client, now time.Time, grace time.Duration) refreshVerdict {
	switch {
	case hmac.Equal(hash, s.Current):
		return rotateToken
	case len(s.Previous) > 0 && hmac.Equal(hash, s.Previous) && now.Before(s.RefreshedAt.Add(grace)) && s.knows(by):
		return repeatToken
	}
	return reusedToken
}

// refreshToken is a refresh token taken apart. It names its session, so that it is found without an index, and
// carries a MAC, so that only a token that was once genuine can count as reused.
type refreshToken struct {
	userID, sessionID string
	text              string
}

// A refresh token is refreshPrefix and the base64url of user, session, 256 random bits and the MAC.
const (
	refreshPrefix = "wrt_"
	refreshRandom = 32
	refreshMAC    = 16
	refreshBytes  = 16 + 16 + refreshRandom + refreshMAC
)

// newRefreshToken makes a token of a session; both ids are UUIDs.
func newRefreshToken(key []byte, userID, sessionID string) (refreshToken, error) {
	raw := make([]byte, 0, refreshBytes)
	for _, id := range []string{userID, sessionID} {
		parsed, err := uuid.Parse(id)
		if err != nil {
			return refreshToken{}, err
		}
		raw = append(raw, parsed[:]...)
	}
	raw = raw[:32+refreshRandom]
	if _, err := rand.Read(raw[32:]); err != nil {
		return refreshToken{}, err
	}
	raw = append(raw, mac(key, string(raw))[:refreshMAC]...)
	text := refreshPrefix + base64.RawURLEncoding.EncodeToString(raw)
	return refreshToken{userID: userID, sessionID: sessionID, text: text}, nil
}

// parseRefreshToken takes a token apart, if it is one that newRefreshToken made.
func parseRefreshToken(key []byte, text string) (refreshToken, bool) {
	encoded, ok := strings.CutPrefix(text, refreshPrefix)
	raw, err := base64.RawURLEncoding.Strict().DecodeString(encoded)
	if !ok || err != nil || len(raw) != refreshBytes || strings.ContainsAny(encoded, "\r\n") {
		return refreshToken{}, false
	}
	body, sum := raw[:refreshBytes-refreshMAC], raw[refreshBytes-refreshMAC:]
	if !hmac.Equal(mac(key, string(body))[:refreshMAC], sum) {
		return refreshToken{}, false
	}
	user, session := uuid.UUID(bytes.Clone(body[:16])), uuid.UUID(bytes.Clone(body[16:32]))
	return refreshToken{userID: user.String(), sessionID: session.String(), text: text}, true
}

// hash is what is stored of the token.
func (t refreshToken) hash() []byte {
	sum := sha256.Sum256([]byte(t.text))
	return sum[:]
}
