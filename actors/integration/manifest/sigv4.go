package manifest

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

// sigv4 is a compiled SigV4Spec.
type sigv4 struct {
	service string
	region  *tree
	signer  *v4.Signer
}

func (c *compiler) sigv4(spec *SigV4Spec, pointer string) *sigv4 {
	if spec == nil {
		return nil
	}
	return &sigv4{service: spec.Service, region: c.optional(spec.Region, pointerTo(pointer, "region")), signer: v4.NewSigner()}
}

// sign signs a request if the method is sigv4. at is the time of the signature; zero means now.
func (m *AuthMethod) sign(s *scope, r *Request, u *url.URL, body content, conn Connection, at time.Time) error {
	if m.sigv4 == nil {
		return nil
	}
	if at.IsZero() {
		at = time.Now()
	}
	digest, err := body.digest()
	if err != nil {
		return err
	}
	return m.sigv4.sign(s, r, u, digest, conn.Credentials, at)
}

// sign signs a complete request, with the hexadecimal SHA-256 of its body. The signature covers the method, the URL, and the
// headers Host, Content-Type, Range and X-Amz-*. sign rewrites the path in the encoding that the signature covers.
func (g *sigv4) sign(s *scope, r *Request, u *url.URL, digest string, credentials map[string]any, at time.Time) error {
	region, err := g.region.evalString(s)
	if err != nil {
		return fmt.Errorf("region: %w", err)
	}
	keys := aws.Credentials{}
	keys.AccessKeyID, _ = credentials["access_key_id"].(string)
	keys.SecretAccessKey, _ = credentials["secret_access_key"].(string)
	keys.SessionToken, _ = credentials["session_token"].(string)
	if keys.AccessKeyID == "" || keys.SecretAccessKey == "" || region == "" {
		return errors.New("the connection has no access key or no region")
	}
	u.RawPath = awsPath(u.Path)
	request := &http.Request{Method: r.Method, URL: u, Host: u.Host, Header: http.Header{}}
	for name, values := range r.Header {
		if name == "Content-Type" || name == "Range" || strings.HasPrefix(name, "X-Amz-") {
			request.Header[name] = values
		}
	}
	if g.service == "s3" {
		request.Header.Set("X-Amz-Content-Sha256", digest)
	}
	err = g.signer.SignHTTP(context.Background(), keys, request, digest, g.service, region, at, func(o *v4.SignerOptions) {
		o.DisableURIPathEscaping = g.service == "s3"
	})
	if err != nil {
		return errors.New("signing the request failed")
	}
	for name, values := range request.Header {
		r.Header[name] = values
	}
	r.SecretHeaders = append(r.SecretHeaders, "X-Amz-Security-Token")
	return nil
}

// awsPath percent-encodes everything except unreserved characters (RFC 3986, section 2.3) and slashes, as AWS does.
func awsPath(path string) string {
	var b strings.Builder
	for i := range len(path) {
		c := path[i]
		if c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || strings.IndexByte("-._~/", c) >= 0 {
			b.WriteByte(c)
			continue
		}
		fmt.Fprintf(&b, "%%%02X", c)
	}
	return b.String()
}
