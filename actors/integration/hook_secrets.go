package integration

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"time"

	"github.com/weftmesh/weft/actors/seal"

	"github.com/weftmesh/weft/actors/integration/manifest"
	"github.com/weftmesh/weft/actors/integration/webhook"
	"github.com/weftmesh/weft/subjects"
)

// hookSecrets seals and opens the secrets of hooks. What it seals opens in that hook of that user only.
type hookSecrets struct {
	sealer *seal.Sealer
	now    func() time.Time
	// keepOld is how long a hook's previous secret stays valid.
	keepOld time.Duration
}

// setNext sets a hook's next secret: given, which may be empty, or a new one if weft makes the provider's secrets. It
// returns a new secret in clear, to be shown to the user once. A secret that comes by handshake may be set from now on.
func (s hookSecrets) setNext(w *manifest.Webhook, h *hookRow, given string) (created string, err error) {
	secret := given
	switch w.Scheme.Secret.From {
	case webhook.FromHandshake:
		if given != "" {
			return "", subjects.InvalidField("secret", "is set by the provider in a handshake")
		}
		h.OpenedAt = s.now().UnixMicro()
		return "", nil
	case webhook.FromWeft:
		if given == "" {
			created = newHookSecret(w.Scheme.Secret)
			secret = created
		}
	}
	if secret == "" {
		return "", nil
	}
	if err := w.Scheme.Check(secret); err != nil {
		return "", subjects.InvalidField("secret", "%v", err)
	}
	return created, s.seal(h, secret)
}

func (s hookSecrets) seal(h *hookRow, secret string) (err error) {
	h.Secret, err = s.sealer.Seal([]byte(secret), hookContext(h))
	return err
}

// open returns a hook's valid secrets in clear, the newest first.
func (s hookSecrets) open(h hookRow) ([]string, error) {
	sealed := [][]byte{h.Secret}
	if h.oldUntil().After(s.now()) {
		sealed = append(sealed, h.OldSecret)
	}
	var secrets []string
	for _, value := range sealed {
		if value == nil {
			continue
		}
		plain, err := s.sealer.Open(value, hookContext(&h))
		if err != nil {
			return nil, fmt.Errorf("opening a secret of hook %s: %w", h.ID, err)
		}
		secrets = append(secrets, string(plain))
	}
	return secrets, nil
}

// keepPrevious keeps a hook's previous secret, sealed, valid for keepOld.
func (s hookSecrets) keepPrevious(h *hookRow, previous []byte) {
	if previous != nil {
		h.OldSecret, h.OldUntil = previous, s.now().Add(s.keepOld).UnixMicro()
	}
}

// hookContext is the associated data of a hook's sealed secrets.
func hookContext(h *hookRow) []byte {
	return []byte("integration|" + h.UserID + "|" + h.ID + "|hook_secret")
}

// newHookSecret makes a random secret in the form that the provider accepts.
func newHookSecret(spec webhook.SecretSpec) string {
	random := make([]byte, 32)
	_, _ = rand.Read(random) // never returns an error, see crypto/rand
	switch {
	case spec.Form == "base64" || spec.Encoding == "base64":
		return spec.Prefix + base64.StdEncoding.EncodeToString(random)
	case spec.Encoding == "hex":
		return spec.Prefix + hex.EncodeToString(random)
	case spec.Form == "basic":
		return "weft:" + base64.RawURLEncoding.EncodeToString(random)
	}
	return spec.Prefix + base64.RawURLEncoding.EncodeToString(random)
}
