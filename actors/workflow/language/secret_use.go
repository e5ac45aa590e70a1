package language

import (
	"regexp"
	"strings"
)

// SecretUse says what of a call derives from $secrets. The rule is static and by mention: whatever an expression that
// mentions $secrets yields, encoded, compared or chosen by it, counts as secret. With Task.DeferredInput the input of the
// call's expressions is secret, so all that the call evaluates is.
type SecretUse struct {
	// Arguments: some part of the call is evaluated with $secrets, so the error of an evaluation may contain them.
	Arguments bool
	// Quoted: an error of the call may quote a part that derives from $secrets, such as the address or an argument.
	Quoted bool
	// URI, Method, AllHeaders and Headers (by lower-case name) are the secret parts of the request that output: response
	// repeats.
	URI, Method, AllHeaders bool
	Headers                 map[string]bool
}

// secretsVariable matches a mention, and the name of the secret where it is written as $secrets.name or $secrets["name"]. It may match
// more than the variable, such as a text, and never less: jq has no other way to read a variable than its name.
var secretsVariable = regexp.MustCompile(`\$secrets\b(?:\.([a-zA-Z_]\w*)|\.?\["([^"\\]*)"\])?`)

func mentionsSecrets(text string) bool { return secretsVariable.MatchString(text) }

// mentionsSecretsIn reports whether any text of a value mentions $secrets, the names of its fields included.
func mentionsSecretsIn(value any) bool {
	return value != nil && mentionsSecrets(string(Canonical(value)))
}

// UsesSecrets reports whether the arguments or the input of a call mention $secrets.
func (t *Task) UsesSecrets() bool {
	return t.DeferredInput || t.Call != nil && t.Call.With != nil && mentionsSecretsIn(t.Call.With)
}

// UsesSecrets reports whether the values of a policy come from a secret or mention $secrets.
func (a *Authentication) UsesSecrets() bool { return a.Secret != "" || mentionsSecretsIn(a.Parameters) }

// markSecrets sets Task.Secrets of every call.
func (w *Workflow) markSecrets() {
	for _, task := range w.tasks {
		if task.Call != nil {
			task.Secrets = w.secretUse(task)
		}
	}
}

func (w *Workflow) secretUse(t *Task) SecretUse {
	all := t.DeferredInput
	use := SecretUse{Arguments: t.UsesSecrets()}
	switch call := t.Call; {
	case call.HTTP != nil:
		use.URI = all || mentionsSecrets(call.HTTP.Endpoint.URI) || mentionsSecretsIn(call.HTTP.Query)
		use.Method = all || mentionsSecrets(call.HTTP.Method)
		use.Quoted = use.URI || use.Method
		use.markHeaders(call.HTTP.Headers, all)
		w.markAuthentication(&use, call.HTTP.Endpoint.Authentication)
	case call.OpenAPI != nil:
		use.Quoted = all || mentionsSecrets(call.OpenAPI.OperationID) || mentionsSecrets(call.OpenAPI.Document.URI) ||
			mentionsSecretsIn(call.OpenAPI.Parameters)
		use.URI, use.Method, use.AllHeaders = use.Quoted, use.Quoted, use.Quoted
		w.markAuthentication(&use, call.OpenAPI.Document.Authentication)
		w.markAuthentication(&use, call.OpenAPI.Authentication)
	default:
		use.Quoted = use.Arguments
	}
	return use
}

func (u *SecretUse) markHeaders(definition any, all bool) {
	headers, isMap := definition.(map[string]any)
	u.AllHeaders = all || !isMap && mentionsSecretsIn(definition)
	for name, value := range headers {
		if mentionsSecrets(name) || mentionsSecretsIn(value) {
			if u.Headers == nil {
				u.Headers = map[string]bool{}
			}
			u.Headers[strings.ToLower(name)] = true
		}
	}
}

// markAuthentication adds a policy. Its credentials are never repeated; the authority of oauth2 and oidc is, in errors.
func (w *Workflow) markAuthentication(u *SecretUse, policy *Authentication) {
	if policy != nil && policy.Use != "" {
		policy = w.Use.Authentications[policy.Use]
	}
	if policy == nil {
		return
	}
	u.Arguments = u.Arguments || policy.Secret != "" || mentionsSecretsIn(policy.Parameters)
	if policy.Scheme == SchemeOAuth2 || policy.Scheme == SchemeOIDC {
		u.Quoted = u.Quoted || policy.Secret != "" || mentionsSecretsIn(policy.Parameters["authority"]) ||
			mentionsSecretsIn(policy.Parameters["endpoints"])
	}
}

// secretsRefused is the fault of an expression that mentions $secrets at a place whose result is kept.
func secretsRefused(pointer string) string {
	why := "here its result would be kept"
	switch key := pointer[strings.LastIndexByte(pointer, '/')+1:]; key {
	case "if", "when", "exceptWhen", "while":
		why = "the history shows which way the condition of " + key + " went, and so what it learnt of the secret"
	case "as":
		why = "the result of output.as and export.as is written to the history and passed on"
	case "in":
		why = "the items of a loop are written to the history"
	}
	return "$secrets may be used only in the arguments of a call, in an authentication, and in the input.from of a call, " +
		"which are sent and not kept: " + why
}
