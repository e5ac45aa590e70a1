package auth

import (
	"time"

	"github.com/weftmesh/weft/subjects"
)

// identity is a provider's account with which a user can sign in. It is found by issuer and subject and by nothing
// else: addresses and names change hands.
type identity struct {
	ID, UserID      string
	Provider        string
	Issuer, Subject string
	Email, Name     string
	// Sealed are the provider's tokens; nil where there are none any more.
	Sealed []byte
	// Version grows with the tokens, so that a late refresh does not undo a new sign-in.
	Version int64
	// RefreshAt is when the tokens want to be refreshed; zero for never.
	RefreshAt time.Time
	// Lost: the provider took its tokens back.
	Lost      bool
	CreatedAt time.Time
	UsedAt    time.Time
}

func identityContext(id string) []byte { return []byte("identities/" + id) }

const (
	identityActive      = "active"
	identityNeedsReauth = "needs_reauth"
)

func (i identity) shown() subjects.Identity {
	status := identityActive
	if i.Lost {
		status = identityNeedsReauth
	}
	return subjects.Identity{
		Provider: i.Provider, Issuer: i.Issuer, Email: i.Email, Name: i.Name, Status: status, LinkedAt: i.CreatedAt, LastUsedAt: i.UsedAt,
	}
}

// told lays what the provider says now over the identity.
func (i identity) told(who account, now time.Time) identity {
	i.Email, i.Name, i.UsedAt, i.Lost = "", fitName(who.Name), now, false
	if email, err := normalEmail(who.Email); err == nil {
		i.Email = email
	}
	return i
}

// lastWayIn refuses to remove the only way that a user has to sign in. others are identities with providers that are
// still configured.
func lastWayIn(u user, others int) error {
	if u.PasswordHash == "" && others == 0 {
		return subjects.Errorf(subjects.CodeConflict, "this is the only way to sign in to the account; set a password first")
	}
	return nil
}

// fresh refuses a sign-in that is too long ago for what is asked.
func fresh(signedIn, now time.Time, bound time.Duration) error {
	if now.Sub(signedIn) > bound {
		return subjects.Errorf(subjects.CodeForbidden, "sign in again first: this needs a sign-in of the last %s", bound)
	}
	return nil
}

func errNoVouch() error {
	return subjects.Errorf(subjects.CodeForbidden,
		"the provider does not vouch for an e-mail address of yours; sign up with your address, then link the provider")
}

func errTaken() error {
	return subjects.Errorf(subjects.CodeConflict,
		"an account has this e-mail address already; sign in to it, then link the provider")
}

func linkedText(provider string) text {
	return text{"A sign-in was linked to your account", "From now on you can sign in to weft with " + provider +
		". If it was not you who linked it, remove it and change your password.\n"}
}

func unlinkedText(provider string) text {
	return text{"A sign-in was removed from your account", "You cannot sign in to weft with " + provider +
		" any more. If it was not you who removed it, ask for a new password at once.\n"}
}

func claimedText(provider string) text {
	return text{"Your account is yours alone", "You signed in to weft with " + provider + ", and an account with your address was " +
		"waiting that nobody had verified. It is yours now: its password, sessions and keys, if somebody else made them, are good " +
		"no more.\n"}
}
