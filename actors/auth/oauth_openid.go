package auth

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/google/uuid"
	"golang.org/x/oauth2"
	"golang.org/x/sync/singleflight"
)

// discoveryFor is how long a provider's metadata is good.
const discoveryFor = time.Hour

// tenantPlace is where Microsoft's issuer has the tenant, for applications of any tenant.
const tenantPlace = "{tenantid}"

// asymmetric are the signatures that an id token may have (RFC 8725 §3.1): neither none, nor one that is made with the
// client's secret.
var asymmetric = []string{
	oidc.RS256, oidc.RS384, oidc.RS512, oidc.PS256, oidc.PS384, oidc.PS512, oidc.ES256, oidc.ES384, oidc.ES512, oidc.EdDSA,
}

// openID is a provider that speaks OpenID Connect.
type openID struct {
	config OAuthProvider
	client *http.Client
	now    func() time.Time

	asking singleflight.Group
	mu     sync.Mutex
	known  *discovered
}

// discovered is what a provider says of itself (OpenID Connect Discovery §3).
type discovered struct {
	endpoints

	provider *oidc.Provider
	verifier *oidc.IDTokenVerifier
	until    time.Time
}

func (o *openID) endpoints(ctx context.Context) (endpoints, error) {
	d, err := o.discover(ctx)
	if err != nil {
		return endpoints{}, err
	}
	return d.endpoints, nil
}

// discover asks the provider about itself, once for all who wait, and again after discoveryFor; while it does not
// answer, what it said last goes on being good.
func (o *openID) discover(ctx context.Context) (*discovered, error) {
	o.mu.Lock()
	known := o.known
	o.mu.Unlock()
	if known != nil && o.now().Before(known.until) {
		return known, nil
	}
	fresh, err, _ := o.asking.Do("", func() (any, error) {
		asking, cancel := context.WithTimeout(context.WithoutCancel(ctx), callWithin)
		defer cancel()
		d, err := o.ask(asking)
		if err == nil {
			o.mu.Lock()
			o.known = d
			o.mu.Unlock()
		}
		return d, err
	})
	switch {
	case err == nil:
		return fresh.(*discovered), nil
	case known != nil:
		return known, nil
	}
	return nil, providerFault("discovering "+o.config.Issuer, err)
}

func (o *openID) ask(ctx context.Context) (*discovered, error) {
	ctx = oidc.ClientContext(ctx, o.client)
	if o.config.Kind == kindMicrosoft {
		// Of any tenant's issuer the metadata name a template; what they name is checked below.
		ctx = oidc.InsecureIssuerURLContext(ctx, o.config.Issuer)
	}
	p, err := oidc.NewProvider(ctx, o.config.Issuer)
	if err != nil {
		return nil, err
	}
	var meta struct {
		Issuer      string   `json:"issuer"`
		Algorithms  []string `json:"id_token_signing_alg_values_supported"`
		AuthMethods []string `json:"token_endpoint_auth_methods_supported"`
		SendsIssuer bool     `json:"authorization_response_iss_parameter_supported"`
	}
	if err := p.Claims(&meta); err != nil {
		return nil, err
	}
	if !sameOrigin(meta.Issuer, o.config.Issuer) {
		return nil, errors.New("the metadata name another issuer")
	}
	algorithms := slices.DeleteFunc(meta.Algorithms, func(a string) bool { return !slices.Contains(asymmetric, a) })
	if len(algorithms) == 0 {
		algorithms = []string{oidc.RS256}
	}
	d := &discovered{
		endpoints: endpoints{Endpoint: p.Endpoint(), issuer: meta.Issuer, sendsIssuer: meta.SendsIssuer},
		provider:  p, until: o.now().Add(discoveryFor),
		verifier: p.VerifierContext(ctx, &oidc.Config{
			ClientID: o.config.ClientID, SupportedSigningAlgs: algorithms, Now: o.now,
			SkipIssuerCheck: o.config.Kind == kindMicrosoft, // account checks it
		}),
	}
	d.AuthStyle = authStyle(o.config, meta.AuthMethods)
	return d, nil
}

// authStyle is how the client proves itself at the token endpoint. It is not found out by trying: a code is good once.
func authStyle(c OAuthProvider, methods []string) oauth2.AuthStyle {
	if c.ClientSecret == "" || len(methods) > 0 && !slices.Contains(methods, "client_secret_basic") {
		return oauth2.AuthStyleInParams
	}
	return oauth2.AuthStyleInHeader
}

func sameOrigin(a, b string) bool {
	ua, errA := url.Parse(a)
	ub, errB := url.Parse(b)
	return errA == nil && errB == nil && ua.Scheme == ub.Scheme && ua.Host == ub.Host
}

// account verifies the id token that came with a token (OpenID Connect Core §3.1.3.7) and reads it. Where it has no
// address, the userinfo endpoint is asked.
func (o *openID) account(ctx context.Context, token *oauth2.Token, nonce string) (account, error) {
	d, err := o.discover(ctx)
	if err != nil {
		return account{}, err
	}
	raw, _ := token.Extra("id_token").(string)
	if raw == "" {
		return account{}, errUntrusted(errors.New("there is no id token"))
	}
	id, err := d.verifier.Verify(oidc.ClientContext(ctx, o.client), raw)
	if err != nil {
		return account{}, errUntrusted(err)
	}
	said := claims{}
	if err := id.Claims(&said); err != nil {
		return account{}, errUntrusted(err)
	}
	if err := o.checkToken(d, id, said, token.AccessToken, nonce); err != nil {
		return account{}, errUntrusted(err)
	}
	if said.text("email") == "" && d.provider.UserInfoEndpoint() != "" {
		if said, err = o.userinfo(ctx, d, token, id.Subject); err != nil {
			return account{}, err
		}
	}
	return said.account(o.config.Kind, id.Issuer, id.Subject), nil
}

// checkToken checks of a token what the library leaves to its caller.
func (o *openID) checkToken(d *discovered, id *oidc.IDToken, said claims, access, nonce string) error {
	if nonce == "" || subtle.ConstantTimeCompare([]byte(id.Nonce), []byte(nonce)) != 1 {
		return errors.New("the id token's nonce is another one")
	}
	if azp := said.text("azp"); azp != "" && azp != o.config.ClientID || azp == "" && len(id.Audience) > 1 {
		return errors.New("the id token was issued to another party")
	}
	if id.AccessTokenHash != "" {
		if err := id.VerifyAccessToken(access); err != nil {
			return err
		}
	}
	if o.config.Kind != kindMicrosoft {
		return nil
	}
	want := d.issuer
	if strings.Contains(want, tenantPlace) {
		tenant, err := uuid.Parse(said.text("tid"))
		if err != nil {
			return errors.New("the id token names no tenant")
		}
		want = strings.ReplaceAll(want, tenantPlace, tenant.String())
	}
	if id.Issuer != want {
		return fmt.Errorf("the id token's issuer is %.200q", id.Issuer)
	}
	return nil
}

func (o *openID) userinfo(ctx context.Context, d *discovered, token *oauth2.Token, subject string) (claims, error) {
	info, err := d.provider.UserInfo(oidc.ClientContext(ctx, o.client), oauth2.StaticTokenSource(token))
	if err != nil {
		var call *url.Error
		if !errors.As(err, &call) {
			err = errors.New("the userinfo endpoint refuses") // its body is not for the log
		}
		return nil, providerFault("asking for userinfo", err)
	}
	if info.Subject != subject {
		return nil, errUntrusted(errors.New("userinfo is of another subject"))
	}
	said := claims{}
	if err := info.Claims(&said); err != nil {
		return nil, errUntrusted(err)
	}
	return said, nil
}
