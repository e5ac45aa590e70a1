package manifest_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/weftmesh/weft/actors/integration/manifest"
)

// ruleTest is a change of minimal that violates one rule of the JSON Schema, and the fault that it must cause.
type ruleTest struct {
	name, old, new string
	want           string
}

// wantFaults loads minimal with each change and expects the fault, as line:column: pointer: the begin of the message.
func wantFaults(t *testing.T, tests []ruleTest) {
	t.Helper()
	for _, c := range tests {
		_, err := manifest.Load([]byte(changed(t, c.old, c.new)))
		var faults manifest.Faults
		if !errors.As(err, &faults) {
			t.Errorf("%s: got %v, want Faults", c.name, err)
			continue
		}
		if !slices.ContainsFunc(faults, func(f manifest.Fault) bool { return strings.HasPrefix(f.String(), c.want) }) {
			t.Errorf("%s: got\n%v\nwant %q", c.name, err, c.want)
		}
	}
}

func TestRulesOfProviders(t *testing.T) {
	t.Parallel()
	wantFaults(t, []ruleTest{
		{"id in upper case", "id: acme", "id: Acme", "1:5: /id: must match"},
		{"id of one letter", "id: acme", "id: a", "1:5: /id: must match"},
		{"empty name", "name: Acme", `name: ""`, "2:7: /name: must have at least 1 characters"},
		{"long name", "name: Acme", "name: " + strings.Repeat("x", 101), "2:7: /name: must have at most 100 characters"},
		{"documentation over http", "name: Acme", "name: Acme\ndocs: http://acme.test", "3:7: /docs: must match"},
		{"no base URL", "base_url: https://api.acme.test/v1\n", "", "1:1: /base_url: is required"},
		{"no auth", "auth:\n  - {id: token, kind: api_key, in: bearer}\n", "", "1:1: /auth: is required"},
		{"empty auth", "auth:\n  - {id: token, kind: api_key, in: bearer}\n", "auth: []\n", "5:7: /auth: must have at least 1 items"},
		{"no health probe", "health: {method: GET, path: /me}\n", "", "1:1: /health: is required"},
		{"health probe without a path", "health: {method: GET, path: /me}", "health: {method: GET}", "7:9: /health/path: is required"},
		{"health probe with input", "path: /me}", "path: /me, input: {type: object}}", "7:34: /health/input: is not a known field"},
		{"health probe with output list", "path: /me}", "path: /me, output: [1]}", "7:42: /health/output: must be string or object, not array"},
		{"empty hosts", "auth:", "hosts: []\nauth:", "5:8: /hosts: must have at least 1 items"},
		{"empty host", "auth:", "hosts: ['']\nauth:", "5:9: /hosts/0: must have at least 1 characters"},
		{"base URL name", "auth:", "base_urls: {Upload: https://u.acme.test}\nauth:", "5:13: /base_urls/Upload: is not a known field"},
		{"settings of an array", "auth:", "settings: {type: array}\nauth:", "5:18: /settings/type: must be object"},
		{"settings without type", "auth:", "settings: {properties: {}}\nauth:", "5:11: /settings/type: is required"},
		{"scope without description", "auth:", "scopes: {all: }\nauth:", "5:15: /scopes/all: must be string, not null"},
		{"headers that are text", "auth:", "headers: plain\nauth:", "5:10: /headers: must match"},
		{"headers that are a list", "auth:", "headers: [a]\nauth:", "5:10: /headers: must be string or object, not array"},
		{"success without expression", "auth:", "success: ok\nauth:", "5:10: /success: must match"},
		{"long expression", "auth:", "success: ${ " + strings.Repeat(" ", 4096) + "true }\nauth:", "5:10: /success: must have at most 4096 characters"},
		{"duration of zero", "auth:", "timeout: 0s\nauth:", "5:10: /timeout: must match"},
		{"fractional duration", "auth:", "timeout: 1.5s\nauth:", "5:10: /timeout: must match"},
		{"no attempts", "auth:", "retry: {attempts: 0}\nauth:", "5:19: /retry/attempts: must be at least 1"},
		{"eleven attempts", "auth:", "retry: {attempts: 11}\nauth:", "5:19: /retry/attempts: must be at most 10"},
		{"unknown retry field", "auth:", "retry: {times: 3}\nauth:", "5:9: /retry/times: is not a known field"},
		{"no actions", "  get_thing:\n    title: Get a thing\n    safety: read\n    method: GET\n    path: /things/{id}\n    input:\n" +
			"      type: object\n      required: [id]\n      properties:\n        id: {type: string}\n", "  {}\n", "9:3: /actions: must have at least 1 fields"},
	})
}

func TestRulesOfActions(t *testing.T) {
	t.Parallel()
	const safety = "safety: read"
	wantFaults(t, []ruleTest{
		{"no safety", "    " + safety + "\n", "", "10:5: /actions/get_thing/safety: is required"},
		{"no method", "    method: GET\n", "", "10:5: /actions/get_thing/method: is required"},
		{"no path", "    path: /things/{id}\n", "", "10:5: /actions/get_thing/path: is required"},
		{"no input", "    input:\n      type: object\n      required: [id]\n      properties:\n        id: {type: string}\n", "", "10:5: /actions/get_thing/input: is required"},
		{"path and url", safety, "safety: read\n    url: ${ .input.id }", "14:11: /actions/get_thing/path: is not allowed here"},
		{"long title", "Get a thing", strings.Repeat("x", 101), "10:12: /actions/get_thing/title: must have at most 100 characters"},
		{"duplicate scope", safety, "safety: read\n    scopes: [a, a]", "12:13: /actions/get_thing/scopes: must not have duplicate items"},
		{"example that is a list", safety, "safety: read\n    example: []", "12:14: /actions/get_thing/example: must be object, not array"},
		{"idempotency header", safety, "safety: read\n    idempotency_header: 'A B'", "12:25: /actions/get_thing/idempotency_header: must match"},
		{"unknown answer", safety, "safety: read\n    answer: csv", "12:13: /actions/get_thing/answer: must match"},
		{"output schema that is a list", safety, "safety: read\n    output_schema: []", "12:20: /actions/get_thing/output_schema: must be boolean or object, not array"},
		{"pagination without next", safety, `safety: read
    pagination: {items: "${ .output }"}`, "12:17: /actions/get_thing/pagination/next: is required"},
		{"pagination by a literal", safety, "safety: read\n    pagination: {next: page}", "12:24: /actions/get_thing/pagination/next: must match"},
		{"no steps", safety, "safety: read\n    before: []", "12:13: /actions/get_thing/before: must have at least 1 items"},
		{"step without id", safety, "safety: read\n    before: [{method: GET, path: /a}]", "12:14: /actions/get_thing/before/0/id: is required"},
		{"step with pagination", safety, "safety: read\n    before: [{id: a, method: GET, path: /a, pagination: {}}]", "12:45: /actions/get_thing/before/0/pagination: is not a known field"},
		{"output schema", safety, "safety: read\n    output_schema: {type: thing}", "12:20: /actions/get_thing/output_schema: is not a valid JSON Schema"},
	})
}

func TestRulesOfBodies(t *testing.T) {
	t.Parallel()
	const safety, pointer = "safety: read", "/actions/get_thing/body"
	body := func(name, body, want string) ruleTest {
		place, message, _ := strings.Cut(want, ": ")
		return ruleTest{name, safety, "safety: read\n    body: " + body, place + ": " + pointer + message}
	}
	wantFaults(t, []ruleTest{
		body("empty", "{}", "12:11: : must have at least 1 fields"),
		body("unknown kind", "{yaml: a}", "12:12: /yaml: is not a known field"),
		body("form that is a list", "{form: []}", "12:18: /form: must be string or object, not array"),
		body("form style", "{form: {a: b}, form_style: dots}", "12:38: /form_style: must be one of plain, brackets"),
		body("form style of JSON", "{json: {a: b}, form_style: brackets}", "12:11: /form: is required"),
		body("base64 of JSON", "{json: {a: b}, base64: true}", "12:11: /raw: is required"),
		body("content type of JSON", "{json: {a: b}, content_type: a/b}", "12:11: : must match one of the alternatives"),
		body("content type of parts", "{multipart: {a: {text: b}}, content_type: text/plain}", "12:11: : must match one of the alternatives"),
		body("no parts", "{multipart: {}}", "12:23: /multipart: must have at least 1 fields"),
		body("empty part", "{multipart: {a: {}}}", "12:27: /multipart/a: must have at least 1 fields"),
		body("part of two kinds", "{multipart: {a: {text: b, json: 1}}}", "12:27: /multipart/a: must have at most 1 fields"),
		body("file without content", "{multipart: {a: {file: {name: b}}}}", "12:34: /multipart/a/file: must match one of the alternatives"),
		body("file of a literal object", "{multipart: {a: {file: {object: b}}}}", "12:43: /multipart/a/file/object: must match"),
		body("GraphQL without a query", "{graphql: {variables: {}}}", "12:21: /graphql/query: is required"),
		body("GraphQL by expression", `{graphql: {query: "${ .input.id }"}}`, "12:29: /graphql/query: must match"),
		body("GraphQL operation", "{graphql: {query: a, operation: a-b}}", "12:43: /graphql/operation: must match"),
		body("literal object", "{object: o1}", "12:20: /object: must match"),
	})
}

func TestRulesOfLimitsAndErrors(t *testing.T) {
	t.Parallel()
	limit := func(name, limit, want string) ruleTest {
		return ruleTest{name, "auth:", "limits: [" + limit + "]\nauth:", want}
	}
	rule := func(name, rule, want string) ruleTest {
		return ruleTest{name, "auth:", "errors: {rules: [" + rule + "]}\nauth:", want}
	}
	wantFaults(t, []ruleTest{
		limit("no period", "{id: a, requests: 1}", "5:10: /limits/0/per: is required"),
		limit("no requests", "{id: a, requests: 0, per: 1s}", "5:28: /limits/0/requests: must be at least 1"),
		limit("fraction", "{id: a, requests: 1.5, per: 1s}", "5:28: /limits/0/requests: must be integer, not number"),
		limit("scope", "{id: a, requests: 1, per: 1s, scope: user}", "5:47: /limits/0/scope: must be one of connection, provider"),
		limit("no actions", "{id: a, requests: 1, per: 1s, actions: []}", "5:49: /limits/0/actions: must have at least 1 items"),
		limit("literal remaining", "{id: a, requests: 1, per: 1s, remaining: 7}", "5:51: /limits/0/remaining: must be string, not number"),
		limit("bad remaining", "{id: a, requests: 1, per: 1s, remaining: '${ . | }'}", "5:51: /limits/0/remaining: compiling jq"),
		limit("duplicate", "{id: a, requests: 1, per: 1s}, {id: a, requests: 2, per: 1s}", "5:46: /limits/1/id: duplicate limit a"),
		rule("class", "{class: fatal, status: [500]}", "5:26: /errors/rules/0/class: must be one of auth, limited"),
		rule("no class", "{status: [500]}", "5:18: /errors/rules/0/class: is required"),
		rule("no condition", "{class: auth}", "5:18: /errors/rules/0: must have at least 2 fields"),
		rule("status", "{class: auth, status: [600]}", "5:41: /errors/rules/0/status/0: must be at most 599"),
		rule("no status", "{class: auth, status: []}", "5:40: /errors/rules/0/status: must have at least 1 items"),
		rule("bad jq", "{class: auth, when: '${ nope }'}", "5:38: /errors/rules/0/when: compiling jq"),
	})
}

func TestRulesOfAuth(t *testing.T) {
	t.Parallel()
	auth := func(name, auth, want string) ruleTest {
		return ruleTest{name, "{id: token, kind: api_key, in: bearer}", "{id: a, " + auth + "}", want}
	}
	wantFaults(t, []ruleTest{
		auth("kind", "kind: magic", "6:19: /auth/0/kind: must be one of oauth2, client_credentials"),
		auth("no kind", "title: A", "6:5: /auth/0/kind: is required"),
		auth("place", "kind: api_key, in: body", "6:32: /auth/0/in: must be one of bearer, header, query"),
		auth("query without name", "kind: api_key, in: query", "6:5: /auth/0/name: is required"),
		auth("literal value", "kind: api_key, in: bearer, value: x", "6:47: /auth/0/value: must match"),
		auth("unknown field", "kind: none, token: x", "6:25: /auth/0/token: is not a known field"),
		auth("oauth2 of a key", "kind: api_key, in: bearer, oauth2: {}", "6:48: /auth/0/oauth2: is not allowed here"),
		auth("no token URL", "kind: oauth2, oauth2: {authorize_url: https://a.test}", "6:35: /auth/0/oauth2/token_url: is required"),
		auth("no authorize URL", "kind: oauth2, oauth2: {token_url: https://a.test}", "6:35: /auth/0/oauth2/authorize_url: is required"),
		auth("token URL", "kind: client_credentials, oauth2: {token_url: ftp://a.test}", "6:59: /auth/0/oauth2/token_url: must be an http or https URL"),
		auth("PKCE of a grant", "kind: client_credentials, oauth2: {token_url: https://a.test, pkce: true}", "6:75: /auth/0/oauth2/pkce: is not a known field"),
		auth("client auth", "kind: client_credentials, oauth2: {token_url: https://a.test, client_auth: jwt}", "6:88: /auth/0/oauth2/client_auth: must be one of basic, body"),
		auth("capture", `kind: oauth2, oauth2: {authorize_url: https://a.test, token_url: https://a.test, capture: {shop: "${ .body.shop }"}}`,
			"6:110: /auth/0/oauth2/capture/shop: shop is not declared in settings"),
		auth("token answer", "kind: client_credentials, oauth2: {token_url: https://a.test, answer: {id_token: x}}", "6:84: /auth/0/oauth2/answer/id_token: is not a known field"),
		auth("JWT without credentials", "kind: jwt_bearer, jwt: {algorithm: RS256, key: '${ .credentials.key }', claims: {}}", "6:5: /auth/0/credentials: is required"),
		auth("JWT algorithm", "kind: jwt_bearer, credentials: {type: object}, jwt: {algorithm: none, key: '${ .credentials.key }', claims: {}}",
			"6:77: /auth/0/jwt/algorithm: must be one of RS256, ES256, HS256"),
		auth("JWT with a literal key", "kind: jwt_bearer, credentials: {type: object}, jwt: {algorithm: HS256, key: secret, claims: {}}", "6:89: /auth/0/jwt/key: must match"),
		auth("sigv4 without region", "kind: sigv4, sigv4: {service: s3}", "6:33: /auth/0/sigv4/region: is required"),
		auth("sigv4 with a place", "kind: sigv4, sigv4: {service: s3, region: eu}, in: bearer", "6:64: /auth/0/in: is not allowed here"),
		auth("sigv4 of basic", "kind: basic, sigv4: {service: s3, region: eu}", "6:33: /auth/0/sigv4: is not allowed here"),
		auth("credentials", "kind: basic, credentials: {type: object, properties: {a: {type: word}}}", "6:39: /auth/0/credentials: is not a valid JSON Schema"),
	})
}
