package machine

import (
	"strings"
	"testing"

	"github.com/weftmesh/weft/actors/workflow/language"
)

// request formats a request as method, URL, headers and body.
func request(r *HTTPRequest) string {
	return strings.TrimSpace(r.Method + " " + r.URL + " " + string(language.Canonical(r.Headers)) + " " + string(r.Body))
}

// faultText formats an error as its standard type and detail.
func faultText(err *Error) string { return standardName(err.Type) + ": " + err.Detail }

func TestHTTPRequests(t *testing.T) {
	t.Parallel()
	for with, want := range map[string]string{
		`method: get, endpoint: 'https://x.test/a'`:                                                `GET https://x.test/a {}`,
		`method: PaTcH, endpoint: 'https://x.test/a'`:                                              `PATCH https://x.test/a {}`,
		`method: '${ .verb }', endpoint: '${ "https://x.test/" + .name }'`:                         `PUT https://x.test/a%20b {}`,
		`method: get, endpoint: 'https://x.test/{name}/{id}'`:                                      `GET https://x.test/a%20b/7 {}`,
		`method: get, endpoint: 'https://x.test/{gone}'`:                                           `GET https://x.test/ {}`,
		`method: get, endpoint: 'https://x.test/{none}'`:                                           `GET https://x.test/ {}`,
		`method: get, endpoint: 'https://x.test/?a=1', query: {b: '${ .id }', c: [1, 2], d: null}`: `GET https://x.test/?a=1&b=7&c=1&c=2 {}`,
		`method: get, endpoint: 'https://x.test/?a=1', query: {a: 2}`:                              `GET https://x.test/?a=2 {}`,
		`method: get, endpoint: 'https://x.test/', query: '${ {q: .name} }'`:                       `GET https://x.test/?q=a+b {}`,
		`method: get, endpoint: 'https://x.test/', query: '${ .id }'`:                              `expression: headers and query must be objects`,
		`method: get, endpoint: 'https://x.test/', query: '${ null }'`:                             `GET https://x.test/ {}`,
		`method: get, endpoint: 'https://x.test/', headers: {X-A: '${ .id }', x-B: true}`:          `GET https://x.test/ {"x-a":"7","x-b":"true"}`,
		`method: post, endpoint: 'https://x.test/', body: {n: '${ .id }'}`:                         `POST https://x.test/ {"content-type":"application/json"} {"n":7}`,
		`method: post, endpoint: 'https://x.test/', body: '${ .name }'`:                            `POST https://x.test/ {"content-type":"text/plain; charset=utf-8"} a b`,
		`method: post, endpoint: 'https://x.test/', body: [1], headers: {Content-Type: text/x}`:    `POST https://x.test/ {"content-type":"text/x"} [1]`,
		`method: post, endpoint: 'https://x.test/', body: '${ error("no") }'`:                      `expression: evaluating "${ error(\"no\") }": error: no`,
		`method: get, endpoint: 'ftp://x.test/'`:                                                   `configuration: "ftp://x.test/" is not an absolute HTTP URL`,
		`method: get, endpoint: '/relative'`:                                                       `configuration: "/relative" is not an absolute HTTP URL`,
		`method: get, endpoint: 'https://'`:                                                        `configuration: "https://" is not an absolute HTTP URL`,
		`method: get, endpoint: '${ .id }'`:                                                        `configuration: "7" is not an absolute HTTP URL`,
	} {
		d := newDriver(t, head+`do: [{a: {call: http, with: {`+with+`}}}]`)
		x := d.start(map[string]any{"verb": "put", "name": "a b", "id": 7, "none": nil})
		var got string
		if fault := x.Fault(); fault != nil {
			got = faultText(fault)
		} else {
			got = request(x.Calls()[0].HTTP)
		}
		if got != want {
			t.Errorf("%s\ngot  %s\nwant %s", with, got, want)
		}
	}
}

func TestOpenAPIRequests(t *testing.T) {
	t.Parallel()
	description := func(text string) any {
		return decode(t, strings.ReplaceAll(text, "'", `"`))
	}
	const operation = `{'/pets/{id}':{'parameters':[{'name':'id','in':'path','required':true}],'put':{'operationId':'op','parameters':[
		{'name':'q','in':'query'},{'name':'X-H','in':'header'},{'$ref':'#/components/parameters/limit'}]}}}`
	const components = `'components':{'parameters':{'limit':{'name':'limit','in':'query','required':true}}}`
	for name, test := range map[string]struct{ description, parameters, want string }{
		"OpenAPI 3": {`{'servers':[{'url':'https://api.test/v1/'}],` + components + `,'paths':` + operation + `}`,
			`{id: 'a/b', q: [1, 2], X-H: h, limit: 5, name: Rex}`,
			`PUT https://api.test/v1/pets/a%2Fb?q=1&q=2&limit=5 {"accept":"application/json","content-type":"application/json","x-h":"h"} {"name":"Rex"}`},
		"relative server": {`{'servers':[{'url':'../v2'}],` + components + `,'paths':` + operation + `}`,
			`{id: 1, limit: 5, body: [1]}`, `PUT https://docs.test/v2/pets/1?limit=5 {"accept":"application/json","content-type":"application/json"} [1]`},
		"no server": {`{` + components + `,'paths':` + operation + `}`, `{id: 1, limit: 5}`,
			`PUT https://docs.test/pets/1?limit=5 {"accept":"application/json"}`},
		"missing parameter": {`{` + components + `,'paths':` + operation + `}`, `{id: 1}`, `validation: the operation requires the parameter "limit"`},
		"null parameter":    {`{` + components + `,'paths':` + operation + `}`, `{id: null, limit: 5}`, `validation: the operation requires the parameter "id"`},
		"missing operation": {`{'paths':{'/a':{'get':{'operationId':'other'}}}}`, `{}`, `configuration: the OpenAPI description has no operation "op"`},
		"no description":    {`[]`, `{}`, `configuration: the OpenAPI description has no operation "op"`},
		"invalid server":    {`{'servers':[{'url':'ftp://x.test'}],'paths':{'/a':{'get':{'operationId':'op'}}}}`, `{}`, `configuration: "ftp://x.test/a" is not an absolute HTTP URL`},
		"Swagger 2": {`{'swagger':'2.0','host':'api.test','basePath':'/v1','schemes':['http','https'],'paths':{'/f':{'post':{'operationId':'op','parameters':[
			{'name':'a','in':'formData'},{'name':'b','in':'formData'}]}}}}`,
			`{a: 1, b: x y}`, `POST https://api.test/v1/f {"accept":"application/json","content-type":"application/x-www-form-urlencoded"} a=1&b=x+y`},
		"Swagger 2 body": {`{'swagger':'2.0','schemes':['http'],'paths':{'/f':{'post':{'operationId':'op','parameters':[{'name':'pet','in':'body','required':true}]}}}}`,
			`{pet: {n: 1}}`, `POST http://docs.test/f {"accept":"application/json","content-type":"application/json"} {"n":1}`},
		"get without a body": {`{'paths':{'/f':{'get':{'operationId':'op'}}}}`, `{x: 1}`, `validation: the operation has no parameter "x"`},
	} {
		d := newDriver(t, head+`do: [{a: {call: openapi, with: {document: {endpoint: 'https://docs.test/api/openapi.json'}, operationId: op, parameters: `+test.parameters+`}}}]`)
		call := d.start(nil).Calls()[0].OpenAPI
		if got := request(call.Document); got != `GET https://docs.test/api/openapi.json {"accept":"application/json, application/yaml, */*;q=0.5"}` {
			t.Errorf("%s: the description is requested by %s", name, got)
		}
		built, failure := call.Request(description(test.description))
		var got string
		if failure != nil {
			got = faultText(failure)
		} else {
			got = request(built)
		}
		if got != test.want {
			t.Errorf("%s\ngot  %s\nwant %s", name, got, test.want)
		}
	}
}

func TestRedactedURL(t *testing.T) {
	t.Parallel()
	for target, want := range map[string]string{
		"https://user:password@x.test/a?token=t#f": "https://x.test/a", "https://x.test/": "https://x.test/", "://": "the endpoint",
	} {
		if got := redactedURL(target); got != want {
			t.Errorf("%s is redacted as %s, want %s", target, got, want)
		}
	}
}

func TestEmittedEvents(t *testing.T) {
	t.Parallel()
	for with, want := range map[string]string{
		`{type: a.b}`: `{"id":"e1/0/a","source":"urn:weft:workflow:test:sample:0.1.0","specversion":"1.0","time":"2026-11-01T12:00:00Z","type":"a.b"}`,
		`{type: a.b, data: '${ .n }', id: own, time: never}`:                     `{"data":7,"datacontenttype":"application/json","id":"own","source":"urn:weft:workflow:test:sample:0.1.0","specversion":"1.0","time":"never","type":"a.b"}`,
		`{type: a.b, source: s, data: '<x/>', datacontenttype: application/xml}`: `{"data":"<x/>","datacontenttype":"application/xml","id":"e1/0/a","source":"s","specversion":"1.0","time":"2026-11-01T12:00:00Z","type":"a.b"}`,
	} {
		d := newDriver(t, head+`do: [{a: {emit: {event: {with: `+with+`}}}}]`)
		call := d.start(map[string]any{"n": 7}).Calls()[0]
		if got := string(language.Canonical(call.Message)); call.Kind != CallEmit || got != want {
			t.Errorf("%s\ngot  %s\nwant %s", with, got, want)
		}
	}
}
