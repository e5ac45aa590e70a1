package providers

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/weftmesh/weft/actors/egress"
	"github.com/weftmesh/weft/mesh"
)

// awsSigner signs requests to AWS (Signature Version 4).
type awsSigner struct {
	accessKeyID     string
	secret, session mesh.Secret
	region, service string
}

// sign adds the headers of the signature to a request. It signs Host, Content-Type, X-Amz-Date and, if there is one, the session's token.
func (s awsSigner) sign(ctx context.Context, r *egress.Request, now time.Time) error {
	request, err := http.NewRequestWithContext(ctx, r.Method, r.URL, bytes.NewReader(r.Body))
	if err != nil {
		return fmt.Errorf("signing a request: %w", err)
	}
	if r.Header != nil {
		request.Header = r.Header.Clone()
	}
	request.ContentLength = 0 // else it is signed too, and a header of the connection is not ours
	sum := sha256.Sum256(r.Body)
	credentials := aws.Credentials{AccessKeyID: s.accessKeyID, SecretAccessKey: s.secret.Reveal(), SessionToken: s.session.Reveal()}
	if err := v4.NewSigner().SignHTTP(ctx, credentials, request, hex.EncodeToString(sum[:]), s.service, s.region, now); err != nil {
		return fmt.Errorf("signing a request: %w", err)
	}
	r.Header = request.Header
	r.SecretHeaders = append(r.SecretHeaders, "X-Amz-Security-Token")
	return nil
}
