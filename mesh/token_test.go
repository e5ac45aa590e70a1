package mesh_test

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/weftmesh/weft/mesh"
)

const (
	issuer   = "https://weft.test"
	audience = "weft"
	kid      = "k1"
)

// tokens signs and verifies tokens with one key at a fixed time.
type tokens struct {
	private ed25519.PrivateKey
	now     time.Time
}

func newTokens(t testing.TB) tokens {
	t.Helper()
	_, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	return tokens{private: private, now: time.Unix(1_900_000_000, 0)}
}

func (k tokens) claims() mesh.Claims {
	return mesh.Claims{
		Issuer: issuer, Audience: audience, Subject: "u", ClientID: "weft", ID: "j", SessionID: "s",
		IssuedAt: k.now.Unix(), ExpiresAt: k.now.Add(time.Minute).Unix(), AuthTime: k.now.Unix(), Roles: []string{"user"},
	}
}

// parse verifies a token with the key, which is known only under its id.
func (k tokens) parse(token string) (mesh.Claims, error) {
	return mesh.ParseToken(token, issuer, audience, k.now, func(id string) (ed25519.PublicKey, bool) {
		public, _ := k.private.Public().(ed25519.PublicKey)
		return public, id == kid
	})
}

// sign signs any header and payload with the right key, so that a rejection concerns their content.
func (k tokens) sign(header, payload string) string {
	return k.signParts(encode(header), encode(payload))
}

func (k tokens) signParts(header, payload string) string {
	signed := header + "." + payload
	return signed + "." + base64.RawURLEncoding.EncodeToString(ed25519.Sign(k.private, []byte(signed)))
}

func encode(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }

const goodHeader = `{"alg":"EdDSA","typ":"at+jwt","kid":"k1"}`

func (k tokens) payload(t testing.TB) string {
	t.Helper()
	data, err := json.Marshal(k.claims())
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestTokensRoundTrip(t *testing.T) {
	t.Parallel()
	k := newTokens(t)
	token, err := mesh.SignToken(k.claims(), kid, k.private)
	if err != nil {
		t.Fatal(err)
	}
	got, err := k.parse(token)
	if err != nil || fmt.Sprint(got) != fmt.Sprint(k.claims()) {
		t.Errorf("got %+v, %v", got, err)
	}
	if _, err := k.parse(k.sign(goodHeader, k.payload(t))); err != nil {
		t.Errorf("the token that the following tests modify is rejected: %v", err)
	}
}

func TestInvalidTokenHeadersAreRejected(t *testing.T) {
	t.Parallel()
	k := newTokens(t)
	for name, header := range map[string]string{
		"alg none":            `{"alg":"none","typ":"at+jwt","kid":"k1"}`,
		"alg in lower case":   `{"alg":"eddsa","typ":"at+jwt","kid":"k1"}`,
		"alg HS256":           `{"alg":"HS256","typ":"at+jwt","kid":"k1"}`,
		"alg Ed25519":         `{"alg":"Ed25519","typ":"at+jwt","kid":"k1"}`,
		"alg a list":          `{"alg":["EdDSA"],"typ":"at+jwt","kid":"k1"}`,
		"no alg":              `{"typ":"at+jwt","kid":"k1"}`,
		"typ JWT":             `{"alg":"EdDSA","typ":"JWT","kid":"k1"}`,
		"typ in upper case":   `{"alg":"EdDSA","typ":"AT+JWT","kid":"k1"}`,
		"typ with the prefix": `{"alg":"EdDSA","typ":"application/at+jwt","kid":"k1"}`,
		"no typ":              `{"alg":"EdDSA","kid":"k1"}`,
		"no kid":              `{"alg":"EdDSA","typ":"at+jwt"}`,
		"another kid":         `{"alg":"EdDSA","typ":"at+jwt","kid":"k2"}`,
		"kid a path":          `{"alg":"EdDSA","typ":"at+jwt","kid":"../k1"}`,
		"crit":                `{"alg":"EdDSA","typ":"at+jwt","kid":"k1","crit":["exp"]}`,
		"empty crit":          `{"alg":"EdDSA","typ":"at+jwt","kid":"k1","crit":[]}`,
		"b64 false":           `{"alg":"EdDSA","typ":"at+jwt","kid":"k1","b64":false,"crit":["b64"]}`,
		"jwk":                 `{"alg":"EdDSA","typ":"at+jwt","kid":"k1","jwk":{"kty":"OKP"}}`,
		"jku":                 `{"alg":"EdDSA","typ":"at+jwt","kid":"k1","jku":"https://evil.test"}`,
		"x5u":                 `{"alg":"EdDSA","typ":"at+jwt","kid":"k1","x5u":"https://evil.test"}`,
		"zip":                 `{"alg":"EdDSA","typ":"at+jwt","kid":"k1","zip":"DEF"}`,
		"alg twice":           `{"alg":"none","alg":"EdDSA","typ":"at+jwt","kid":"k1"}`,
		"ALG in addition":     `{"alg":"EdDSA","ALG":"none","typ":"at+jwt","kid":"k1"}`,
		"ALG alone":           `{"ALG":"EdDSA","typ":"at+jwt","kid":"k1"}`,
		"trailing data":       goodHeader + `{}`,
		"a list":              `[` + goodHeader + `]`,
		"null":                `null`,
		"empty":               ``,
		"invalid UTF-8":       "{\"alg\":\"EdDSA\",\"typ\":\"at+jwt\",\"kid\":\"k1\xff\"}",
	} {
		if claims, err := k.parse(k.sign(header, k.payload(t))); err == nil {
			t.Errorf("%s is accepted: %+v", name, claims)
		}
	}
}

// TestInvalidTokenClaimsAreRejected: only the claims of RFC 9068 §2.2 are accepted.
func TestInvalidTokenClaimsAreRejected(t *testing.T) {
	t.Parallel()
	k := newTokens(t)
	good := k.payload(t)
	replace := func(old, replacement string) string {
		if !strings.Contains(good, old) {
			t.Fatalf("%s is not in %s", old, good)
		}
		return strings.Replace(good, old, replacement, 1)
	}
	with := func(member string) string { return `{` + member + `,` + good[1:] }
	seconds := func(at time.Time) string { return fmt.Sprint(at.Unix()) }
	exp, iat := `"exp":`+seconds(k.now.Add(time.Minute)), `"iat":`+seconds(k.now)
	for name, payload := range map[string]string{
		"no exp":           replace(exp+",", ""),
		"exp zero":         replace(exp, `"exp":0`),
		"exp past":         replace(exp, `"exp":`+seconds(k.now)),
		"exp a string":     replace(exp, `"exp":"`+seconds(k.now.Add(time.Minute))+`"`),
		"exp beyond int64": replace(exp, `"exp":1e30`),
		"exp negative":     replace(exp, `"exp":-1`),
		"iat in future":    replace(iat, `"iat":`+seconds(k.now.Add(time.Minute))),
		"no iat":           replace(iat+",", ""),
		"no sub":           replace(`"sub":"u",`, ""),
		"sub null":         replace(`"sub":"u"`, `"sub":null`),
		"sub a number":     replace(`"sub":"u"`, `"sub":1`),
		"SUB for sub":      replace(`"sub":"u"`, `"SUB":"u"`),
		"SUB in addition":  with(`"SUB":"admin"`),
		"sub twice":        with(`"sub":"admin"`),
		"no sid":           replace(`"sid":"s",`, ""),
		"no jti":           replace(`"jti":"j",`, ""),
		"no client_id":     replace(`"client_id":"weft",`, ""),
		"another iss":      replace(issuer, issuer+"/"),
		"another aud":      replace(`"aud":"weft"`, `"aud":"other"`),
		"aud a list":       replace(`"aud":"weft"`, `"aud":["weft","other"]`),
		"an unknown claim": with(`"admin":true`),
		"nbf":              with(`"nbf":` + seconds(k.now.Add(time.Hour))),
		"trailing data":    good + `{}`,
		"a list":           `[` + good + `]`,
		"empty":            ``,
		"null":             `null`,
	} {
		if claims, err := k.parse(k.sign(goodHeader, payload)); err == nil {
			t.Errorf("%s is accepted: %+v", name, claims)
		}
	}
}

func TestInvalidTokenFormsAreRejected(t *testing.T) {
	t.Parallel()
	k := newTokens(t)
	header, payload := encode(goodHeader), encode(k.payload(t))
	good := k.signParts(header, payload)
	signature := good[strings.LastIndex(good, ".")+1:]
	other := newTokens(t)
	forms := map[string]string{
		"empty": "", "dots": "..", "one part": header, "two parts": header + "." + payload,
		"no signature": header + "." + payload + ".", "four parts": good + ".", "five parts": good + "..",
		"no payload":             k.signParts(header, ""),
		"spaces around":          " " + good + " ",
		"a line break":           good + "\n",
		"a line break in header": k.signParts(header[:4]+"\n"+header[4:], payload),
		"padding":                good + "==",
		"padded header":          k.signParts(header+"=", payload),
		"standard alphabet":      k.signParts(header, base64.StdEncoding.EncodeToString([]byte(k.payload(t)))+"+"),
		"another key's":          other.signParts(header, payload),
		"a short signature":      header + "." + payload + "." + signature[:len(signature)-2],
		"a long signature":       good + "AA",
		"all zeros":              header + "." + payload + "." + base64.RawURLEncoding.EncodeToString(make([]byte, 64)),
		"JSON serialization":     `{"protected":"` + header + `","payload":"` + payload + `","signature":"` + signature + `"}`,
		"too long":               k.sign(goodHeader, k.payload(t)+strings.Repeat(" ", 5000)),
	}
	// 86 characters encode 516 bits for the 512 of the signature: the last character has four spare bits.
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	last := strings.IndexByte(alphabet, good[len(good)-1])
	forms["spare bits"] = good[:len(good)-1] + alphabet[last|1:last|1+1]
	for i := range 64 {
		raw, err := base64.RawURLEncoding.DecodeString(signature)
		if err != nil {
			t.Fatal(err)
		}
		raw[i] ^= 1
		forms[fmt.Sprintf("bit of byte %d", i)] = header + "." + payload + "." + base64.RawURLEncoding.EncodeToString(raw)
	}
	for name, token := range forms {
		if token == good {
			t.Fatalf("%s: the token is unchanged", name)
		}
		if claims, err := k.parse(token); err == nil {
			t.Errorf("%s is accepted: %+v", name, claims)
		}
	}
}

// FuzzParseToken checks that only the signed token itself is accepted.
func FuzzParseToken(f *testing.F) {
	k := newTokens(f)
	good := k.sign(goodHeader, k.payload(f))
	f.Add(good)
	f.Add(good[:len(good)-1])
	f.Fuzz(func(t *testing.T, token string) {
		if _, err := k.parse(token); err == nil && token != good {
			t.Errorf("accepted: %q", token)
		}
	})
}
