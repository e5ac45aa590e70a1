package egress_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/weftmesh/weft/actors/egress"
)

func TestTokenAnswer(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]string{
		`{"access_token":"A","expires_in":3600}`:                `{"access_token":"A","expires_in":3600}`,
		"\xef\xbb\xbf{\"access_token\":\"A\"}":                  `{"access_token":"A"}`,
		" \n\xef\xbb\xbf {\"access_token\":\"A\"}\n":            `{"access_token":"A"}`,
		`access_token=A&refresh_token=R%3D&scope=a+b`:           `{"access_token":"A","refresh_token":"R=","scope":"a b"}`,
		"\xef\xbb\xbfaccess_token=A\r\n":                        `{"access_token":"A"}`,
		`"access_token=A&token_type=bearer"`:                    `{"access_token":"A","token_type":"bearer"}`,
		`"{\"access_token\":\"A\"}"`:                            `{"access_token":"A"}`,
		`error=bad_verification_code&error_uri=https%3A%2F%2Fx`: `{"error":"bad_verification_code","error_uri":"https://x"}`,
		``: ``, ` `: ``, `null`: ``, `[]`: ``, `7`: ``, `"`: ``, `"x"`: ``, `token`: ``, `%zz=1`: ``,
		`{"access_token":"A"`: ``, `{"access_token":"A"} x`: ``, `{"access_token":"A"}{}`: ``,
		`<html><a href="?access_token=A">x</a></html>`: ``, `<?xml version="1.0"?><access_token>A</access_token>`: ``,
		`Your access_token=A is ready`: ``, `access token=A`: ``, `({"access_token":"A"})`: ``,
	} {
		got, ok := egress.TokenAnswer([]byte(body))
		text, _ := json.Marshal(got)
		if ok != (want != "") || ok && string(text) != want {
			t.Errorf("%q: got %s, %t", body, text, ok)
		}
	}
}

func TestTokenErrorCode(t *testing.T) {
	t.Parallel()
	for code, want := range map[string]string{"invalid_grant": "invalid_grant", "own_code": "own_code", "ya29.token": "", "": ""} {
		if got := egress.TokenErrorCode(code, "own_code"); got != want {
			t.Errorf("%s: got %q", code, got)
		}
	}
}

func TestTokenLifetime(t *testing.T) {
	t.Parallel()
	const year = 365 * 24 * time.Hour
	if got := egress.TokenLifetime(" 3600 "); got != time.Hour {
		t.Errorf("with spaces: got %s", got)
	}
	for text, want := range map[string]time.Duration{
		"3600": time.Hour, "\t3600\n": time.Hour, "3600.5": time.Hour + 500*time.Millisecond, "3.6e3": time.Hour, "+3600": time.Hour,
		"31536000": year, "315360000": 10 * year, "9223372036854775807": 100 * year, "1e400": 100 * year, "Inf": 100 * year,
		"": 0, "0": 0, "-1": 0, "-1e400": 0, "NaN": 0, "never": 0, "3600s": 0,
	} {
		if got := egress.TokenLifetime(text); got != want {
			t.Errorf("%q: got %s, want %s", text, got, want)
		}
	}
}
