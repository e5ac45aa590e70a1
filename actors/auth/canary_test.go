package auth_test

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/subjects"
)

// TestNoSecretIsInLogsMetricsStreamsOrDatabases signs up and signs in by every method, including with wrong credentials, and
// searches the secrets in the actor's log at debug level, its metrics, the NATS server's files and every table.
func TestNoSecretIsInLogsMetricsStreamsOrDatabases(t *testing.T) {
	t.Parallel()
	for _, kind := range actortest.Databases(t) {
		t.Run(kind.Name, func(t *testing.T) {
			t.Parallel()
			op := startProvider(t)
			b := setup(t, kind, withProvider(op, offline))
			logged := &bytes.Buffer{}
			if err := b.actor.Stop(t); err != nil {
				t.Fatal(err)
			}
			b.log = zap.New(zapcore.NewCore(
				zapcore.NewJSONEncoder(zap.NewProductionEncoderConfig()), zapcore.Lock(zapcore.AddSync(logged)), zap.DebugLevel))
			b.actor = b.start()
			canaries := useEverything(t, b, op)
			metrics := b.metricsText()
			if err := b.actor.Stop(t); err != nil {
				t.Logf("stopping: %v", err)
			}
			b.StopServer(t)
			places := map[string][]byte{"the log": logged.Bytes(), "the metrics": metrics, "the tables": b.tables()}
			for _, root := range []string{b.Dir, b.database.DataDir} {
				readAll(t, root, places)
			}
			found := bytes.Contains(places["the tables"], []byte("grace@example.com"))
			if !found || len(logged.Bytes()) < 1000 || !bytes.Contains(metrics, []byte("auth_logins_total")) || len(places) < 5 {
				t.Errorf("too little was searched: %d places, %d bytes of log; the tables contain the address: %v", len(places), logged.Len(), found)
			}
			for what, canary := range canaries {
				if len(canary) < 10 {
					t.Errorf("the canary %s is %q", what, canary)
				}
				for place, data := range places {
					if bytes.Contains(data, []byte(canary)) {
						t.Errorf("%s contains the %s in clear text", place, what)
					}
				}
			}
		})
	}
}

// useEverything creates secrets of every kind and returns them by name.
func useEverything(t *testing.T, b *harness, op *openIDProvider) map[string]string {
	t.Helper()
	const wrong, second = "canary of a wrong password", "canary of a second password"
	canaries := map[string]string{"password": goodPassword, "wrong password": wrong, "second password": second}
	box := b.mailbox()
	session := b.signUp("grace@example.com")
	_, err := call(b, subjects.Login, subjects.LoginRequest{Email: "grace@example.com", Password: wrong}, "")
	requireCode(t, err, subjects.CodeUnauthenticated)
	canaries["verification token"] = box.waitFor("grace@example.com", verifySubject, 1).token(t)
	mustCall(b, subjects.VerifyEmail, subjects.VerifyEmailRequest{Token: canaries["verification token"]}, "")
	mustCall(b, subjects.RequestPasswordReset, subjects.EmailRequest{Email: "grace@example.com"}, "")
	canaries["reset token"] = box.waitFor("grace@example.com", resetSubject, 1).token(t)
	mustCall(b, subjects.ResetPassword, subjects.ResetPasswordRequest{Token: canaries["reset token"], Password: second}, "")
	in := mustCall(b, subjects.Login, subjects.LoginRequest{Email: "grace@example.com", Password: second}, "")
	fresh := mustCall(b, subjects.RefreshToken, subjects.RefreshTokenRequest{RefreshToken: in.RefreshToken}, "")
	for name, s := range map[string]subjects.Session{"first": session, "second": in, "refreshed": fresh} {
		canaries[name+" access token"], canaries[name+" refresh token"] = s.AccessToken, s.RefreshToken
	}
	canaries["device token"] = in.DeviceToken
	canaries["API key"] = mustCall(b, subjects.CreateAPIKey, subjects.CreateAPIKeyRequest{
		Name: "ci", Scopes: []string{subjects.ScopeUserProfileRead},
	}, fresh.AccessToken).Key
	exchanged, err := exchange(b, canaries["API key"])
	if err != nil {
		t.Fatal(err)
	}
	canaries["exchanged token"] = exchanged.AccessToken

	enrolled := mustCall(b, subjects.EnrollTOTP, subjects.EnrollTOTPRequest{Password: second}, fresh.AccessToken)
	codes := mustCall(b, subjects.ConfirmTOTP, subjects.ConfirmTOTPRequest{Code: codeAt(t, enrolled.Secret, b.Now())}, fresh.AccessToken)
	b.clock.advance(time.Minute)
	pending := mustCall(b, subjects.Login, subjects.LoginRequest{Email: "grace@example.com", Password: second}, "")
	mustCall(b, subjects.VerifyMFA, subjects.VerifyMFARequest{MFAToken: pending.MFAToken, Code: codes.RecoveryCodes[0]}, "")
	canaries["TOTP secret"], canaries["mfa token"] = enrolled.Secret, pending.MFAToken
	canaries["used recovery code"], canaries["recovery code"] = codes.RecoveryCodes[0], codes.RecoveryCodes[1]

	start := b.initiateOAuth("corp")
	query := op.authorize(t, start.AuthorizationURL, "ada")
	foreign := mustCall(b, subjects.CompleteOAuth, callback("corp", start, query), "")
	canaries["OAuth state"], canaries["OAuth binding"], canaries["OAuth code"] = start.State, start.Binding, query.Get("code")
	canaries["client secret"], canaries["refresh token after OAuth"] = clientSecret, foreign.RefreshToken
	for _, name := range []string{"access_token", "refresh_token", "id_token"} {
		canaries["provider's "+name], _ = op.answers[0][name].(string)
	}
	return canaries
}

// metricsText returns the actor's metrics as text.
func (b *harness) metricsText() []byte {
	b.t.Helper()
	families, err := b.actor.Telemetry.Registry.Gather()
	if err != nil {
		b.t.Fatal(err)
	}
	var text bytes.Buffer
	for _, family := range families {
		fmt.Fprintln(&text, family)
	}
	return text.Bytes()
}

// tables returns every row of every table as text.
func (b *harness) tables() []byte { return []byte(actortest.Dump(b.t, b.database)) }

func readAll(t *testing.T, root string, into map[string][]byte) {
	t.Helper()
	if root == "" {
		return
	}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		into[path], err = os.ReadFile(path)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
