package language

import (
	"maps"
	"slices"
	"strconv"
)

// The authentication schemes.
const (
	SchemeBasic  = "basic"
	SchemeBearer = "bearer"
	SchemeDigest = "digest"
	SchemeOAuth2 = "oauth2"
	SchemeOIDC   = "oidc"
)

// GrantTokenExchange is the OAuth 2.0 grant of RFC 8693.
const GrantTokenExchange = "urn:ietf:params:oauth:grant-type:token-exchange" //nolint:gosec // the name of a grant, not a credential

var schemes = []string{SchemeBasic, SchemeBearer, SchemeDigest, SchemeOAuth2, SchemeOIDC}

// readAuthentication reads a policy or, if reference is set, also the name of one of use.authentications.
func (r *reader) readAuthentication(f field, reference bool) *Authentication {
	o := f.object()
	policy := &Authentication{Pointer: f.pointer}
	if reference && o.has("use") {
		policy.Use = o.needText("use")
		if _, known := r.workflow.Use.Authentications[policy.Use]; !known {
			o.fields["use"].reference("use.authentications", policy.Use, slices.Collect(maps.Keys(r.workflow.Use.Authentications)))
		}
		o.close()
		return policy
	}
	for _, scheme := range schemes {
		body, ok := o.take(scheme)
		if !ok {
			continue
		}
		if policy.Scheme != "" {
			body.fault(CodeValue, "only one scheme may be given")
		}
		policy.Scheme = scheme
		r.allowSecrets(func() { r.readScheme(policy, body.object()) })
	}
	if policy.Scheme == "" && !o.broken {
		f.fault(CodeMissing, "one of basic, bearer, digest, oauth2, oidc is required")
	}
	o.close()
	return policy
}

func (r *reader) readScheme(policy *Authentication, o *object) {
	defer o.close()
	if o.has("use") {
		policy.Secret = o.needText("use")
		if !slices.Contains(r.workflow.Use.Secrets, policy.Secret) {
			o.fields["use"].reference("use.secrets", policy.Secret, r.workflow.Use.Secrets)
		}
		return
	}
	policy.Parameters = map[string]any{}
	switch policy.Scheme {
	case SchemeBasic, SchemeDigest:
		policy.takeTexts(o, true, "username", "password")
	case SchemeBearer:
		policy.takeTexts(o, true, "token")
	default:
		r.readOAuth2(policy, o)
	}
}

// takeTexts takes strings, each of which may be an expression.
func (a *Authentication) takeTexts(o *object, needed bool, keys ...string) {
	for _, key := range keys {
		if _, ok := o.take(key); !ok {
			if needed && !o.broken {
				o.fault(CodeMissing, "the field "+strconv.Quote(key)+" is required")
			}
			continue
		}
		a.Parameters[key] = o.data(key)
		if _, isText := a.Parameters[key].(string); !isText {
			o.fields[key].fault(CodeType, "a string is expected")
		}
	}
}

func (r *reader) readOAuth2(policy *Authentication, o *object) {
	policy.takeTexts(o, true, "authority", "grant")
	policy.takeTexts(o, false, "username", "password")
	o.checkURIs("authority", "issuers")
	grant, given := policy.Parameters["grant"].(string)
	switch {
	case !given || IsExpression(grant) || slices.Contains([]string{"client_credentials", "password", GrantTokenExchange}, grant):
	case grant == "authorization_code" || grant == "refresh_token":
		r.markUnsupported(o.fields["grant"], "the grant "+grant+", which requires user interaction,")
	default:
		o.fields["grant"].fault(CodeValue, "one of client_credentials, password, "+GrantTokenExchange+" is expected")
	}
	nested := func(key string, read func(*object)) {
		if f, ok := o.take(key); ok {
			policy.Parameters[key] = o.data(key)
			inner := f.object()
			read(inner)
			inner.close()
		}
	}
	if policy.Scheme == SchemeOAuth2 {
		nested("endpoints", func(inner *object) {
			for _, key := range []string{"token", "revocation", "introspection"} {
				inner.text(key)
			}
			inner.checkURIs("token", "revocation", "introspection")
		})
	}
	nested("client", func(inner *object) {
		for _, key := range []string{"id", "secret", "assertion"} {
			inner.text(key)
		}
		inner.enum("authentication", "", "client_secret_basic", "client_secret_post", "client_secret_jwt", "private_key_jwt", "none")
	})
	nested("request", func(inner *object) {
		inner.enum("encoding", "", "application/x-www-form-urlencoded", "application/json")
	})
	for _, key := range []string{"subject", "actor"} {
		nested(key, func(inner *object) {
			inner.needText("token")
			inner.needText("type")
		})
	}
	for _, key := range []string{"scopes", "audiences", "issuers"} {
		if texts := o.textList(key); texts != nil {
			policy.Parameters[key] = o.data(key)
		}
	}
	if grant == GrantTokenExchange && !o.has("subject") {
		o.fault(CodeMissing, "the field \"subject\" is required for a token exchange")
	}
}
