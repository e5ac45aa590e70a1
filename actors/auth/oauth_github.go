package auth

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"golang.org/x/oauth2"
)

// gitHub is GitHub, or a GitHub Enterprise Server, which supports OAuth without OpenID Connect. Users are identified by
// their numeric IDs, because logins can be reassigned.
type gitHub struct {
	client *http.Client
	web    string
	api    string
}

func newGitHub(c OAuthProvider, client *http.Client) *gitHub {
	web := strings.TrimSuffix(c.Issuer, "/")
	api := web + "/api/v3"
	if web == kindIssuers[kindGitHub] {
		api = "https://api.github.com"
	}
	return &gitHub{client: client, web: web, api: api}
}

func (g *gitHub) endpoints(context.Context) (endpoints, error) {
	return endpoints{
		Endpoint: oauth2.Endpoint{
			AuthURL: g.web + "/login/oauth/authorize", TokenURL: g.web + "/login/oauth/access_token",
			AuthStyle: oauth2.AuthStyleInParams,
		},
		issuer: g.web + "/login/oauth",
	}, nil
}

// identify returns the token's user, with the primary address.
func (g *gitHub) identify(ctx context.Context, token *oauth2.Token, _ string) (providerAccount, error) {
	var user struct {
		ID     int64  `json:"id"`
		Login  string `json:"login"`
		Name   string `json:"name"`
		Avatar string `json:"avatar_url"`
	}
	if err := g.get(ctx, "/user", token, &user); err != nil {
		return providerAccount{}, err
	}
	var emails []struct {
		Email    string `json:"email"`
		Primary  bool   `json:"primary"`
		Verified bool   `json:"verified"`
	}
	err := g.get(ctx, "/user/emails", token, &emails)
	var refused *statusError
	if errors.As(err, &refused) && (refused.status == http.StatusForbidden || refused.status == http.StatusNotFound) {
		// A GitHub App without the permission "Email addresses", or a token without the scope user:email. The account is known by
		// its ID and can sign in; a first sign-in is refused, because there is no verified address.
		emails, err = nil, nil
	}
	if err != nil {
		return providerAccount{}, err
	}
	who := providerAccount{Issuer: g.web + "/login/oauth", Name: user.Name, Picture: user.Avatar}
	if user.ID > 0 {
		who.Subject = strconv.FormatInt(user.ID, 10)
	}
	if who.Name == "" {
		who.Name = user.Login
	}
	for _, e := range emails {
		if e.Primary {
			who.Email, who.EmailVerified = e.Email, e.Verified
		}
	}
	return who, nil
}

// statusError is an answer with an unexpected status.
type statusError struct{ status int }

func (e *statusError) Error() string { return "status " + strconv.Itoa(e.status) }

func (g *gitHub) get(ctx context.Context, path string, token *oauth2.Token, into any) error {
	doing := "reading " + path + " at GitHub"
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, g.api+path, nil)
	if err != nil {
		return fmt.Errorf("%s: %w", doing, err)
	}
	r.Header.Set("Authorization", "Bearer "+token.AccessToken)
	r.Header.Set("Accept", "application/vnd.github+json")
	r.Header.Set("X-GitHub-Api-Version", "2022-11-28")
	answer, err := g.client.Do(r)
	if err != nil {
		return providerError(doing, err)
	}
	defer func() { _ = answer.Body.Close() }()
	if answer.StatusCode != http.StatusOK {
		return providerError(doing, &statusError{status: answer.StatusCode})
	}
	if err := json.NewDecoder(answer.Body).Decode(into); err != nil {
		return providerError(doing, err)
	}
	return nil
}
