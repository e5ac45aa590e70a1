package auth

import (
	"context"

	"github.com/weftmesh/weft/actors/database"

	"github.com/weftmesh/weft/subjects"
)

// deleteAccount deletes the caller's account. The access tokens are revoked at every process first; then one
// transaction deletes the account and tells the other actors.
func (a *Actor) deleteAccount(ctx context.Context, req subjects.DeleteAccountRequest) (subjects.ErasureStarted, error) {
	u, err := a.credentials.confirmOwner(ctx, req.Password)
	if err == nil {
		err = a.credentials.stepUpCode(ctx, u, req.Code)
	}
	if err != nil {
		return subjects.ErasureStarted{}, err
	}
	others, err := countOtherAdmins(ctx, a.DB.DB, u.ID)
	if err != nil {
		return subjects.ErasureStarted{}, err
	}
	if err := requireAnotherAdmin(u, user{}, others); err != nil {
		return subjects.ErasureStarted{}, err
	}
	if err := a.apiKeys.revokeTokens(ctx, u.ID); err != nil {
		return subjects.ErasureStarted{}, err
	}
	var keys []apiKey
	token, hash := newPasskeyDevice()
	row := erasureRow{ID: a.NewID(), UserID: u.ID, TokenHash: hash, Round: erasureFirst}
	err = a.sessions.changeAccount(ctx, u, "", endDeleted, func(ctx context.Context, tx database.Tx, u user) (err error) {
		others, err := lockOtherAdmins(ctx, tx, u.ID)
		if err != nil {
			return err
		}
		if err := requireAnotherAdmin(u, user{}, others); err != nil {
			return err
		}
		if keys, err = userAPIKeys(ctx, tx, u.ID, "", maxAPIKeys); err != nil {
			return err
		}
		return a.erasures.begin(ctx, tx, u, row)
	})
	if err != nil {
		return subjects.ErasureStarted{}, err
	}
	if err := a.apiKeys.revokeTokensOf(ctx, u.ID, keys); err != nil {
		return subjects.ErasureStarted{}, err
	}
	a.metrics.deletions.Inc()
	return subjects.ErasureStarted{ErasureID: row.ID, Token: token, Status: "erasing"}, nil
}

// getErasure returns the state of an erasure to a caller with the token of the deletion.
func (a *Actor) getErasure(ctx context.Context, req subjects.ErasureRequest) (subjects.ErasureStatus, error) {
	row, err := erasureByID(ctx, a.DB.DB, req.ErasureID)
	if err == nil && row.TokenHash != hashToken(req.Token) {
		err = errNoErasure
	}
	if err != nil {
		return subjects.ErasureStatus{}, err
	}
	answers, err := erasureAnswers(ctx, a.DB.DB, row.ID)
	if err != nil {
		return subjects.ErasureStatus{}, err
	}
	return row.status(answers), nil
}
