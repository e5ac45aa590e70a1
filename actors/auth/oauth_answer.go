package auth

import (
	"errors"
	"slices"
	"strings"
)

// providerErrorCodes are error codes of token endpoints besides OAuth's. grantErrors are those that mean that a code or a refresh token
// is not valid.
var (
	grantErrors        = []string{"invalid_grant", "bad_verification_code", "bad_refresh_token"}
	providerErrorCodes = append(slices.Clone(grantErrors), "incorrect_client_credentials", "redirect_uri_mismatch")
)

// idTokenError is the error of an ID token that was not accepted. The verifier's own text quotes the token's claims.
func idTokenError(err error) error {
	for _, known := range [][2]string{
		{"different provider", "the ID token has another issuer"}, {"audience", "the ID token has another audience"},
		{"expired", "the ID token has expired"}, {"nbf", "the ID token is not valid yet"}, {"signature", "the ID token's signature is not valid"},
		{"malformed", "the ID token is malformed"},
	} {
		if strings.Contains(err.Error(), known[0]) {
			return errors.New(known[1])
		}
	}
	return errors.New("the ID token is not valid")
}
