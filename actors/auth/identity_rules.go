package auth

import (
	"time"

	"github.com/weftmesh/weft/subjects"
)

// identity is an account at a provider with which a user can sign in. It is identified by issuer and subject only,
// because addresses and names can be reassigned.
type identity struct {
	ID, UserID      string
	Provider        string
	Issuer, Subject string
	Email, Name     string
	// Sealed holds the provider's tokens; nil if the provider has revoked them.
	Sealed []byte
	// Version increases with the tokens, so that a late refresh does not overwrite those of a newer sign-in.
	Version int64
	// RefreshAt is when the tokens are due for a refresh; zero for never.
	RefreshAt time.Time
	// NeedsReauth is set if the provider has revoked its tokens.
	NeedsReauth bool
	CreatedAt   time.Time
	UsedAt      time.Time
}

func identityContext(id string) []byte { return []byte("identities/" + id) }

func (i identity) view() subjects.Identity {
	status := subjects.IdentityActive
	if i.NeedsReauth {
		status = subjects.IdentityNeedsReauth
	}
	return subjects.Identity{
		Provider: i.Provider, Issuer: i.Issuer, Email: i.Email, Name: i.Name, Status: status, LinkedAt: i.CreatedAt, LastUsedAt: i.UsedAt,
	}
}

// updated returns the identity with the provider's current claims.
func (i identity) updated(who providerAccount, now time.Time) identity {
	i.Email, i.Name, i.UsedAt, i.NeedsReauth = "", truncateName(who.Name), now, false
	if email, err := normalEmail(who.Email); err == nil {
		i.Email = email
	}
	return i
}

// requireRecent returns CodeForbidden if the sign-in is older than bound.
func requireRecent(signedIn, now time.Time, bound time.Duration) error {
	if now.Sub(signedIn) > bound {
		return subjects.Errorf(subjects.CodeForbidden, "this requires a sign-in within the last %s; sign in again", bound)
	}
	return nil
}

func errProviderEmail() error {
	return subjects.Errorf(subjects.CodeForbidden,
		"the provider does not vouch for an e-mail address of yours, or does not let this application read it; "+
			"register with your address, then link the provider")
}

func errEmailTaken() error {
	return subjects.Errorf(subjects.CodeConflict,
		"an account with this e-mail address exists; sign in to it, then link the provider")
}

func linkedText(provider string) messageText {
	return messageText{subjects.TemplateIdentityLinked, map[string]any{"provider": provider}}
}

func unlinkedText(provider string) messageText {
	return messageText{subjects.TemplateIdentityUnlinked, map[string]any{"provider": provider}}
}

func claimedText(provider string) messageText {
	return messageText{subjects.TemplateAccountClaimed, map[string]any{"provider": provider}}
}
