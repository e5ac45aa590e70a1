package auth

import (
	"context"

	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/subjects"
)

// maxIdentities bounds the identities read of a user; it exceeds any plausible number of configured providers.
const maxIdentities = 1000

// credentialSet holds the credentials of a user other than the password.
type credentialSet struct {
	passkeys   []passkey
	identities []identity
}

// userCredentials returns the passkeys and identities of a user.
func userCredentials(ctx context.Context, db *database.DB, userID string) (credentialSet, error) {
	var all credentialSet
	var err error
	if all.passkeys, err = userPasskeys(ctx, db.DB, userID, "", maxPasskeys); err != nil {
		return all, err
	}
	all.identities, err = userIdentities(ctx, db.DB, userID, "", maxIdentities)
	return all, err
}

// count returns the number of credentials that can sign in, without the one with the ID except: passkeys that are not
// suspended, and identities of the configured providers.
func (s credentialSet) count(providers map[string]*provider, except string) int {
	n := 0
	for _, i := range s.identities {
		if _, configured := providers[i.Provider]; configured && i.ID != except {
			n++
		}
	}
	return n + s.activePasskeys(except)
}

// activePasskeys returns the number of passkeys that are not suspended, without the one with the ID except.
func (s credentialSet) activePasskeys(except string) int {
	n := 0
	for _, p := range s.passkeys {
		if !p.Suspended && p.ID != except {
			n++
		}
	}
	return n
}

// requireOtherCredential returns CodeConflict if the user has no password and others, the number of credentials left
// after a removal, is zero.
func requireOtherCredential(u user, others int) error {
	if u.PasswordHash == "" && others == 0 {
		return subjects.Errorf(subjects.CodeConflict, "this is the only way to sign in to the account; set a password first")
	}
	return nil
}
