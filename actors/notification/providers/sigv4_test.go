package providers

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/weftmesh/weft/actors/egress"
)

// TestSignatureVectors are cases of AWS's Signature Version 4 test suite (aws-sig-v4-test-suite).
func TestSignatureVectors(t *testing.T) {
	t.Parallel()
	at := time.Date(2015, 8, 30, 12, 36, 0, 0, time.UTC)
	signer := awsSigner{accessKeyID: "AKIDEXAMPLE", secret: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", region: "us-east-1", service: "service"}
	for name, c := range map[string]struct {
		request egress.Request
		want    string
	}{
		"get-vanilla": {
			egress.Request{Method: "GET", URL: "https://example.amazonaws.com/"},
			"SignedHeaders=host;x-amz-date, Signature=5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
		},
		"get-vanilla-query-order-key-case": {
			egress.Request{Method: "GET", URL: "https://example.amazonaws.com/?Param2=value2&Param1=value1"},
			"SignedHeaders=host;x-amz-date, Signature=b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
		},
		"post-vanilla": {
			egress.Request{Method: "POST", URL: "https://example.amazonaws.com/"},
			"SignedHeaders=host;x-amz-date, Signature=5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b",
		},
		"post-x-www-form-urlencoded": {
			egress.Request{
				Method: "POST", URL: "https://example.amazonaws.com/", Body: []byte("Param1=value1"),
				Header: http.Header{"Content-Type": {"application/x-www-form-urlencoded"}},
			},
			"SignedHeaders=content-type;host;x-amz-date, Signature=ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a",
		},
	} {
		if err := signer.sign(t.Context(), &c.request, at); err != nil {
			t.Fatal(err)
		}
		want := "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, " + c.want
		if got := c.request.Header.Get("Authorization"); got != want || !strings.HasPrefix(c.request.Header.Get("X-Amz-Date"), "20150830T123600Z") {
			t.Errorf("%s: got\n%s, want\n%s", name, got, want)
		}
	}
}
