package machine

import (
	"crypto/md5" //nolint:gosec // RFC 7616 keeps MD5 for servers that support nothing else
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/weftmesh/weft/actors/workflow/language"
)

// challengeParameter matches one parameter of a challenge: name="quoted" or name=token.
var challengeParameter = regexp.MustCompile(`([a-zA-Z_-]+)=(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+))`)

// digest answers a challenge by RFC 7616, with the algorithms MD5 and SHA-256, with or without -sess.
func (c *Credentials) digest(r *HTTPRequest, challenge, nonce string) (string, *Error) {
	given := map[string]string{}
	for _, match := range challengeParameter.FindAllStringSubmatch(challenge, -1) {
		given[strings.ToLower(match[1])] = strings.ReplaceAll(match[2]+match[3], `\`, "")
	}
	algorithm := given["algorithm"]
	base, session := strings.CutSuffix(strings.ToUpper(algorithm), "-SESS")
	hash := func(text string) string { sum := sha256.Sum256([]byte(text)); return hex.EncodeToString(sum[:]) }
	switch base {
	case "SHA-256":
	case "", "MD5":
		//nolint:gosec // see the import
		hash = func(text string) string { sum := md5.Sum([]byte(text)); return hex.EncodeToString(sum[:]) }
	default:
		return "", NewError(TypeAuthentication, fmt.Sprintf("the server requires the digest algorithm %.40q, which is not supported", algorithm))
	}
	qualities := strings.Split(strings.ReplaceAll(given["qop"], " ", ""), ",")
	if given["qop"] != "" && !slices.Contains(qualities, "auth") {
		return "", NewError(TypeAuthentication, "the server requires a qop other than auth, which is not supported")
	}
	target, err := url.Parse(r.URL)
	if err != nil {
		return "", NewError(TypeConfiguration, "the URL is invalid")
	}
	uri, user := target.RequestURI(), language.Text(c.values["username"])
	secret := hash(user + ":" + given["realm"] + ":" + language.Text(c.values["password"]))
	if session {
		secret = hash(secret + ":" + given["nonce"] + ":" + nonce)
	}
	what := hash(r.Method + ":" + uri)
	const count = "00000001"
	response := hash(secret + ":" + given["nonce"] + ":" + what)
	if given["qop"] != "" {
		response = hash(strings.Join([]string{secret, given["nonce"], count, nonce, "auth", what}, ":"))
	}
	answer := fmt.Sprintf(`Digest username=%q, realm=%q, nonce=%q, uri=%q, response=%q`, user, given["realm"], given["nonce"], uri, response)
	if algorithm != "" {
		answer += ", algorithm=" + algorithm
	}
	if given["qop"] != "" {
		answer += fmt.Sprintf(`, qop=auth, nc=%s, cnonce=%q`, count, nonce)
	}
	if given["opaque"] != "" {
		answer += fmt.Sprintf(`, opaque=%q`, given["opaque"])
	}
	return answer, nil
}
