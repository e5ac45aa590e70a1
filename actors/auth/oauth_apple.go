package auth

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/weftmesh/weft/mesh"
)

// appleSecretLife is the lifetime of a client secret; Apple allows six months.
const appleSecretLife = 5 * time.Minute

// appleSecret returns a client secret of Sign in with Apple: a token of the team, signed with its key (Apple, "Creating a client
// secret").
func (p OAuthProvider) appleSecret(now time.Time) (string, error) {
	key, err := jwt.ParseECPrivateKeyFromPEM([]byte(p.PrivateKey.Reveal()))
	if err != nil {
		return "", errors.New("the private key is not an EC key in PEM")
	}
	token := jwt.NewWithClaims(jwt.SigningMethodES256, jwt.RegisteredClaims{
		Issuer: p.TeamID, Subject: p.ClientID, Audience: jwt.ClaimStrings{p.Issuer},
		IssuedAt: jwt.NewNumericDate(now), ExpiresAt: jwt.NewNumericDate(now.Add(appleSecretLife)),
	})
	token.Header["kid"] = p.KeyID
	secret, err := token.SignedString(key)
	if err != nil {
		return "", fmt.Errorf("signing a client secret: %w", err)
	}
	return secret, nil
}

// checkApple checks what the kind apple needs in place of a client secret.
func (p OAuthProvider) checkApple(setting string) error {
	var errs []error
	for key, value := range map[string]string{"team_id": p.TeamID, "key_id": p.KeyID} {
		if value == "" {
			errs = append(errs, mesh.InvalidSetting(setting+"."+key, "must not be empty"))
		}
	}
	if _, err := p.appleSecret(time.Now()); err != nil {
		errs = append(errs, mesh.InvalidSetting(setting+".private_key", "must be the EC private key (PEM) that Apple issued"))
	}
	return errors.Join(errs...)
}

// withPostedName returns the account with the name that Apple posts beside the code, at the first sign-in only. The browser could
// change it, so nothing else is taken from it.
func (w providerAccount) withPostedName(user string) providerAccount {
	var posted struct {
		Name struct {
			First string `json:"firstName"`
			Last  string `json:"lastName"`
		} `json:"name"`
	}
	if json.Unmarshal([]byte(user), &posted) == nil && w.FirstName == "" && w.LastName == "" {
		w.FirstName, w.LastName = posted.Name.First, posted.Name.Last
	}
	return w
}
