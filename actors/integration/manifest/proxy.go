package manifest

import (
	"sync"

	"github.com/weftmesh/weft/actors/egress"
)

// ProxyID is the id of Provider.Proxy, which is not among Provider.Actions.
const ProxyID = "proxy_request"

// proxySpec is the proxy action of every provider.
func proxySpec() ActionSpec {
	texts := []any{"string", "number", "boolean"}
	return ActionSpec{
		Title: "Call the API", Method: "${ .input.method }", Path: "${ .input.path }", Query: "${ .input.query }", Headers: "${ .input.headers }",
		Safety: `${ if .input.method | IN("GET", "HEAD") then "` + string(egress.Read) + `" else "` + string(egress.WriteOnce) + `" end }`,
		Body:   &BodySpec{JSON: "${ .input.body }", Object: "${ .input.object }"},
		Answer: `${ if .input.to_object then "` + AnswerObject + `" else null end }`,
		Input: map[string]any{
			"type": "object", "required": []any{"method", "path"},
			"properties": map[string]any{
				"method": map[string]any{"enum": []any{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"}},
				"path":   map[string]any{"type": "string", "pattern": "^/", "maxLength": 4096},
				"query": map[string]any{"type": "object", "maxProperties": 100, "additionalProperties": map[string]any{"anyOf": []any{
					map[string]any{"type": texts},
					map[string]any{"type": "array", "items": map[string]any{"type": texts}},
				}}},
				"headers": map[string]any{
					"type": "object", "maxProperties": 50, "additionalProperties": false,
					"patternProperties": map[string]any{"^[A-Za-z0-9-]{1,128}$": map[string]any{"type": "string", "maxLength": 8192}},
				},
				"body": true, "to_object": map[string]any{"type": "boolean"},
				"object": map[string]any{"type": "string", "minLength": 1},
			},
		},
	}
}

// proxyAction is the compiled proxySpec, from which the action of each provider is copied.
var proxyAction = sync.OnceValue(func() *Action {
	c := compiler{manifest: &Manifest{}, trusted: true}
	return c.action(&Provider{}, ProxyID, proxySpec(), "/proxy")
})

func proxyOf(p *Provider) *Action {
	a := *proxyAction()
	a.provider, a.baseURL = p, p.baseURL
	own := *a.body
	own.brackets = p.brackets
	a.body = &own
	return &a
}

// Whole returns a response as {status, headers, body}, with object if it was stored as one. Credentials are redacted as by
// Interpret, and base64 is set if the body is that. The error is that of a text which cannot be decoded.
func (a *Action) Whole(conn Connection, input map[string]any, answer Answer) (map[string]any, error) {
	s := a.answerScope(a.provider.secretsOf(conn), input, answer)
	whole := map[string]any{"status": s.root["status"], "headers": s.root["headers"], "body": s.root["body"]}
	if s.root["base64"] == true {
		whole["base64"] = true
	}
	if answer.Object != nil {
		whole["object"] = answer.Object
	}
	return whole, s.unreadable
}
