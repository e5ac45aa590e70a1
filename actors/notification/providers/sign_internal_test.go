package providers

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/weftmesh/weft/actors/egress"
)

// TestSESSignature: a request to SES has the signature that npm's aws4 1.13.2 makes for it.
func TestSESSignature(t *testing.T) {
	t.Parallel()
	signer := awsSigner{"AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", "", "eu-central-1", "ses"}
	r := egress.Request{
		Method: http.MethodPost, URL: "https://email.eu-central-1.amazonaws.com/v2/email/outbound-emails",
		Header: http.Header{"Content-Type": {"application/json"}}, Body: []byte(`{"FromEmailAddress":"weft@example.com"}`),
	}
	if err := signer.sign(t.Context(), &r, time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)); err != nil {
		t.Fatal(err)
	}
	const want = "0963b22d0953b4affe9e6ab1cebbf10b2e59ea5ea45bc31b75551c04aa952b95"
	if got := r.Header.Get("Authorization"); !strings.HasSuffix(got, "Signature="+want) {
		t.Errorf("%s, want the signature %s", got, want)
	}
}
