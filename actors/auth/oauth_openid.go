package auth

import (
	"context"
	"crypto/subtle"
	"errors"
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

// metadataTTL is how long a provider's metadata is cached.
const metadataTTL = time.Hour

// tenantPlaceholder stands for the tenant in Microsoft's issuer for applications of all tenants.
const tenantPlaceholder = "{tenantid}"

// asymmetric lists the accepted signature algorithms of ID tokens (RFC 8725 §3.1): neither none, nor an HMAC with the
// client's secret.
var asymmetric = []string{
	oidc.RS256, oidc.RS384, oidc.RS512, oidc.PS256, oidc.PS384, oidc.PS512, oidc.ES256, oidc.ES384, oidc.ES512, oidc.EdDSA,
}

// openID is a provider that supports OpenID Connect.
type openID struct {
	config OAuthProvider
	client *http.Client
	now    func() time.Time

	requests singleflight.Group
	mu       sync.Mutex
	cached   *metadata
}

// metadata is a provider's metadata (OpenID Connect Discovery §3).
type metadata struct {
	endpoints

	provider  *oidc.Provider
	verifier  *oidc.IDTokenVerifier
	expiresAt time.Time
}

func (o *openID) endpoints(ctx context.Context) (endpoints, error) {
	d, err := o.discover(ctx)
	if err != nil {
		return endpoints{}, err
	}
	return d.endpoints, nil
}

// discover returns the provider's metadata, cached for metadataTTL. Concurrent callers share one request. If the
// provider does not answer, the previous metadata is used.
func (o *openID) discover(ctx context.Context) (*metadata, error) {
	o.mu.Lock()
	known := o.cached
	o.mu.Unlock()
	if known != nil && o.now().Before(known.expiresAt) {
		return known, nil
	}
	fresh, err, _ := o.requests.Do("", func() (any, error) {
		asking, cancel := context.WithTimeout(context.WithoutCancel(ctx), callTimeout)
		defer cancel()
		d, err := o.fetch(asking)
		if err == nil {
			o.mu.Lock()
			o.cached = d
			o.mu.Unlock()
		}
		return d, err
	})
	switch {
	case err == nil:
		return fresh.(*metadata), nil
	case known != nil:
		return known, nil
	}
	return nil, providerError("discovering "+o.config.Issuer, err)
}

func (o *openID) fetch(ctx context.Context) (*metadata, error) {
	ctx = oidc.ClientContext(ctx, o.client)
	if o.config.Kind == kindMicrosoft {
		// The metadata for all tenants has a template as issuer; the token's issuer is checked against it in
		// checkToken.
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
		return nil, errors.New("the metadata name a different issuer")
	}
	algorithms := slices.DeleteFunc(meta.Algorithms, func(a string) bool { return !slices.Contains(asymmetric, a) })
	if len(algorithms) == 0 {
		algorithms = []string{oidc.RS256}
	}
	d := &metadata{
		endpoints: endpoints{Endpoint: p.Endpoint(), issuer: meta.Issuer, issuerInResponse: meta.SendsIssuer},
		provider:  p, expiresAt: o.now().Add(metadataTTL),
		verifier: p.VerifierContext(ctx, &oidc.Config{
			ClientID: o.config.ClientID, SupportedSigningAlgs: algorithms, Now: o.now,
			SkipIssuerCheck: o.config.Kind == kindMicrosoft, // checkToken checks it
		}),
	}
	d.AuthStyle = authStyle(o.config, meta.AuthMethods)
	return d, nil
}

// authStyle returns how the client authenticates at the token endpoint. It is not found by trial, because a code is
// valid once.
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

// identify verifies the ID token (OpenID Connect Core §3.1.3.7) and returns its claims. If it has no address, the
// userinfo endpoint is called.
func (o *openID) identify(ctx context.Context, token *oauth2.Token, nonce string) (providerAccount, error) {
	d, err := o.discover(ctx)
	if err != nil {
		return providerAccount{}, err
	}
	raw, _ := token.Extra("id_token").(string)
	if raw == "" {
		return providerAccount{}, errUntrusted(errors.New("the response has no ID token"))
	}
	id, err := d.verifier.Verify(oidc.ClientContext(ctx, o.client), raw)
	if err != nil {
		return providerAccount{}, errUntrusted(idTokenError(err))
	}
	said := claims{}
	if err := id.Claims(&said); err != nil {
		return providerAccount{}, errUntrusted(idTokenError(err))
	}
	if err := o.checkToken(d, id, said, token.AccessToken, nonce); err != nil {
		return providerAccount{}, errUntrusted(err)
	}
	if said.text("email") == "" && d.provider.UserInfoEndpoint() != "" {
		if said, err = o.userinfo(ctx, d, token, id.Subject); err != nil {
			return providerAccount{}, err
		}
	}
	return said.toAccount(o.config.Kind, id.Issuer, id.Subject), nil
}

// checkToken checks what the library leaves to its caller: nonce, azp, at_hash and Microsoft's issuer.
func (o *openID) checkToken(d *metadata, id *oidc.IDToken, said claims, access, nonce string) error {
	if nonce == "" || subtle.ConstantTimeCompare([]byte(id.Nonce), []byte(nonce)) != 1 {
		return errors.New("the ID token has a different nonce")
	}
	if azp := said.text("azp"); azp != "" && azp != o.config.ClientID || azp == "" && len(id.Audience) > 1 {
		return errors.New("the ID token was issued to another party")
	}
	if id.AccessTokenHash != "" {
		if err := id.VerifyAccessToken(access); err != nil {
			return errors.New("the ID token is for another access token")
		}
	}
	if o.config.Kind != kindMicrosoft {
		return nil
	}
	want := d.issuer
	if strings.Contains(want, tenantPlaceholder) {
		tenant, err := uuid.Parse(said.text("tid"))
		if err != nil {
			return errors.New("the ID token names no tenant")
		}
		want = strings.ReplaceAll(want, tenantPlaceholder, tenant.String())
	}
	if id.Issuer != want {
		return errors.New("the ID token has another issuer")
	}
	return nil
}

func (o *openID) userinfo(ctx context.Context, d *metadata, token *oauth2.Token, subject string) (claims, error) {
	info, err := d.provider.UserInfo(oidc.ClientContext(ctx, o.client), oauth2.StaticTokenSource(token))
	if err != nil {
		var call *url.Error
		if !errors.As(err, &call) {
			err = errors.New("the userinfo endpoint refused the request") // its body must not be logged
		}
		return nil, providerError("asking for userinfo", err)
	}
	if info.Subject != subject {
		return nil, errUntrusted(errors.New("the userinfo response has a different subject"))
	}
	said := claims{}
	if err := info.Claims(&said); err != nil {
		return nil, errUntrusted(err)
	}
	return said, nil
}
