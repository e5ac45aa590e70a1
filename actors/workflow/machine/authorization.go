package machine

import (
	"strings"

	"github.com/weftmesh/weft/actors/workflow/language"
)

// withheld stands for the parameter of an authorization where it would be written to the history.
const withheld = "***"

// schemeNames are the names of the HTTP authentication schemes (RFC 9110 §11.1) that policies lead to.
var schemeNames = map[string]string{language.SchemeBasic: "Basic", language.SchemeBearer: "Bearer", language.SchemeDigest: "Digest",
	language.SchemeOAuth2: "Bearer", language.SchemeOIDC: "Bearer"}

// authorization is $authorization: the scheme and the parameter of the authorization that the task's policy leads to; nil
// without a policy. logged: what the expression yields is written to the history, so a parameter that comes from a secret
// or an authorization server is withheld. In the arguments of a call such a parameter of an authorization server is not
// known yet, and missing.
func (e *evaluator) authorization(run *Run, task *language.Task, logged bool) any {
	policy := e.policyOf(task)
	if policy == nil {
		return nil
	}
	descriptor := map[string]any{"scheme": schemeNames[policy.Scheme]}
	switch policy.Scheme {
	case language.SchemeBasic, language.SchemeBearer:
		if logged && (task.DeferredInput || policy.UsesSecrets()) {
			descriptor["parameter"] = withheld
			return descriptor
		}
		values, err := e.credentialsOf(policy, run.Input, e.scope(run, task).Bind("authorization", nil))
		if err != nil {
			return nil
		}
		_, parameter, _ := strings.Cut(staticAuthorization(policy.Scheme, values), " ")
		descriptor["parameter"] = parameter
	default:
		if logged {
			descriptor["parameter"] = withheld
		}
	}
	return descriptor
}

// policyOf is the authentication policy of a call, with a reference to one of use.authentications followed.
func (e *evaluator) policyOf(task *language.Task) *language.Authentication {
	var policy *language.Authentication
	switch {
	case task == nil || task.Call == nil:
	case task.Call.HTTP != nil:
		policy = task.Call.HTTP.Endpoint.Authentication
	case task.Call.OpenAPI != nil:
		policy = task.Call.OpenAPI.Authentication
	}
	if policy != nil && policy.Use != "" {
		policy = e.def.Use.Authentications[policy.Use]
	}
	return policy
}

// staticAuthorization is the Authorization header of a policy that needs nothing from a server; empty for any other.
func staticAuthorization(scheme string, values map[string]any) string {
	switch scheme {
	case language.SchemeBasic:
		return basic(values["username"], values["password"])
	case language.SchemeBearer:
		return "Bearer " + language.Text(values["token"])
	}
	return ""
}

// credentialsOf are the values of a policy, inline or from a secret.
func (e *evaluator) credentialsOf(policy *language.Authentication, input any, scope language.Scope) (map[string]any, error) {
	if policy.Secret != "" {
		values, isObject := e.secrets.values(policy.Secret)[policy.Secret].(map[string]any)
		if !isObject {
			return nil, NewError(TypeConfiguration, "the secret "+policy.Secret+" must be an object with the parameters of the authentication")
		}
		return values, nil
	}
	filled, err := e.def.Fill(policy.Parameters, input, scope)
	if err != nil {
		return nil, err
	}
	values, _ := filled.(map[string]any)
	if err := e.expandURIs(values, policy.Parameters, input, scope, "authority", "issuers"); err != nil {
		return nil, err
	}
	endpoints, _ := values["endpoints"].(map[string]any)
	definition, _ := policy.Parameters["endpoints"].(map[string]any)
	return values, e.expandURIs(endpoints, definition, input, scope, "token", "revocation", "introspection")
}
