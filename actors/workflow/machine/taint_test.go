package machine

import (
	"encoding/base64"
	"encoding/hex"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/weftmesh/weft/actors/workflow/language"
)

// TestEvaluationsWithSecretsKeepNoMessage: an expression in a call's arguments that fails, with any message that it makes of a
// secret, leaves nothing of it in the log. Neither does a failed call whose address or arguments are made of a secret.
func TestEvaluationsWithSecretsKeepNoMessage(t *testing.T) {
	t.Parallel()
	const secret = "open-sesame-42"
	forbidden := []string{
		secret, base64.StdEncoding.EncodeToString([]byte(secret)), hex.EncodeToString([]byte(secret)), "24-emases-nepo", "111,112,101,110", "sesame",
	}
	for _, call := range []string{
		`call: f.a, with: {k: '${ error($secrets.s | @base64) }'}`,
		`call: f.a, with: {k: '${ $secrets.s | explode | tojson | error }'}`,
		`call: f.a, with: {k: '${ $secrets.s | split("-") | .x }'}`,
		`call: f.a, with: {k: '${ {($secrets.s): 1} | tonumber }'}`,
		`call: f.a, with: {k: '${ if ($secrets.s | startswith("open")) then error("open") else 1 end }'}`,
		`input: {from: '{k: $secrets.s}'}, call: f.a, with: {k: '${ .k | explode | implode | error }'}`,
		`input: {from: '{k: ($secrets.s | split("") | reverse | join(""))}'}, call: http, with: {method: get, endpoint: '${ .k }'}`,
		`call: http, with: {method: get, endpoint: '${ $secrets.s | @base64 }'}`,
		`call: http, with: {method: get, endpoint: '${ "https://x.test/" + ($secrets.s | @base64) }'}`,
		`call: http, with: {method: '${ $secrets.s | explode | tojson }', endpoint: 'https://x.test/'}`,
		`input: {from: '{k: ($secrets.s | @base64)}'}, call: http, with: {method: get, endpoint: 'https://x.test/{k}'}`,
		`call: openapi, with: {document: {endpoint: 'https://x.test/'}, operationId: '${ $secrets.s | @base64 }'}`,
		`call: http, with: {method: get, endpoint: {uri: 'https://x.test/', authentication: {oauth2: {authority: '${ $secrets.s | @base64 }', grant: client_credentials, client: {id: i, secret: j}}}}}`,
		`call: http, with: {method: get, endpoint: {uri: 'https://x.test/', authentication: {bearer: {token: '${ error($secrets.s | @base64) }'}}}}`,
		`call: f.a, with: {k: '${ $secrets.s | @base64 }'}`,
	} {
		d := newDriver(t, head+"use: {secrets: [s]}\ndo: [{a: {"+call+"}}]")
		d.env.Secrets = fixed(map[string]any{"s": secret})
		d.reply = func(call *Call) (any, *Error) {
			request := call.HTTP
			if call.OpenAPI != nil {
				var fault *Error
				if request, fault = call.OpenAPI.Request(map[string]any{}); fault != nil {
					return nil, fault
				}
			}
			if request == nil {
				return nil, NewError(TypeValidation, "k: "+string(language.Canonical(call.Arguments))+" is refused")
			}
			output, err := request.Send(func(r *HTTPRequest) (HTTPResponse, error) { return HTTPResponse{Status: 404}, nil }, "n")
			if err != nil {
				return nil, asError(err)
			}
			return output, nil
		}
		x := d.start(map[string]any{})
		d.finish(x)
		if fault := x.Fault(); fault == nil || !strings.Contains(fault.Detail, "withheld") {
			t.Errorf("%s ended with %+v", call, fault)
		}
		log := string(language.Canonical(d.log))
		if i := slices.IndexFunc(forbidden, func(text string) bool { return strings.Contains(log, text) }); i >= 0 {
			t.Errorf("%s: the log has %q: %s", call, forbidden[i], log)
		}
	}
}

// TestResponsesRepeatNoSecretRequest: output: response has the request without what derives from secrets, and an echo in the
// response is masked in the common encodings.
func TestResponsesRepeatNoSecretRequest(t *testing.T) {
	t.Parallel()
	const secret = "pass/word+äöü"
	d := newDriver(t, head+`use: {secrets: [s, n]}
do: [{a: {call: http, with: {method: get, output: response, endpoint: 'https://x.test/', query: {q: '${ $secrets.s | explode | map(. + 1) | implode }'},
  headers: {X-Key: '${ $secrets.s | explode | tojson }', X-Plain: kept}}}}]`)
	d.env.Secrets = fixed(map[string]any{"s": secret, "n": map[string]any{"pin": 48151623}})
	echo := []string{
		secret, base64.StdEncoding.EncodeToString([]byte(secret)), base64.RawURLEncoding.EncodeToString([]byte("user:" + secret + "\n")),
		hex.EncodeToString([]byte(secret)), url.QueryEscape(secret), "48151623", "üöä+drow/ssap",
	}
	d.reply = func(call *Call) (any, *Error) {
		body := string(language.Canonical(map[string]any{"echo": strings.Join(echo, " "), "pin": 48151623}))
		return must(call.HTTP.Send(func(*HTTPRequest) (HTTPResponse, error) {
			return HTTPResponse{Status: 200, Headers: map[string]string{"content-type": "application/json"}, Body: []byte(body)}, nil
		}, "n"))
	}
	x := d.start(map[string]any{})
	d.finish(x)
	out := string(language.Canonical(x.Output()))
	if x.Status() != Completed || !strings.Contains(out, `"X-Plain":"kept"`) || !strings.Contains(out, `"uri":"***"`) || !strings.Contains(out, `"pin":"***"`) {
		t.Fatalf("%s, output %s, fault %v", x.Status(), out, x.Fault())
	}
	for _, text := range append(echo[:2], echo[3:]...) {
		if strings.Contains(out, text) {
			t.Errorf("the output has %q: %s", text, out)
		}
	}
	if inner := echo[2][8 : len(echo[2])-6]; strings.Contains(out, inner) {
		t.Errorf("the output has %q of %q: %s", inner, echo[2], out)
	}
	if strings.Contains(out, "x-key") {
		t.Errorf("the output has a header that was made of a secret: %s", out)
	}
}

func must(output any, err error) (any, *Error) {
	if err != nil {
		return nil, asError(err)
	}
	return output, nil
}

// TestUnreadableSecretsFailTheCall: a result that cannot be masked is not kept.
func TestUnreadableSecretsFailTheCall(t *testing.T) {
	t.Parallel()
	d := newDriver(t, head+"use: {secrets: [s]}\ndo: [{a: {call: f.a}}]")
	d.env.Secrets = func() (map[string]any, error) { return nil, NewError(TypeRuntime, "open-sesame-42") }
	d.reply = func(*Call) (any, *Error) { return "open-sesame-42", nil }
	x := d.start(map[string]any{})
	d.finish(x)
	if fault := x.Fault(); fault == nil || fault.Type != TypeCommunication || strings.Contains(string(language.Canonical(d.log)), "sesame") {
		t.Errorf("ended with %+v: %s", fault, language.Canonical(d.log))
	}
}
