package webhooks

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/weftmesh/weft/actors/seal"
)

// webhookSecrets seals and opens what is confidential of webhooks. What it seals opens in that webhook of that user only.
type webhookSecrets struct {
	sealer *seal.Sealer
}

// webhookContext is the associated data of a sealed column of a webhook. The previous secret is one that was the secret.
func webhookContext(userID, id, column string) []byte {
	return []byte("notification|webhook|" + userID + "|" + id + "|" + column)
}

// The kinds of sealed values.
const (
	sealedWebhookSecret  = "secret"
	sealedWebhookHeaders = "headers"
)

func (s webhookSecrets) sealSecret(row *webhookRow, secret string) (err error) {
	row.Secret, err = s.sealer.Seal([]byte(secret), webhookContext(row.UserID, row.ID, sealedWebhookSecret))
	return err
}

// sealHeaders sets the additional headers of a webhook.
func (s webhookSecrets) sealHeaders(row *webhookRow, headers map[string]string) error {
	row.Headers, row.HeaderNames = nil, ""
	if len(headers) == 0 {
		return nil
	}
	plain, err := json.Marshal(headers)
	if err != nil {
		return fmt.Errorf("encoding headers: %w", err)
	}
	row.HeaderNames = joinSorted(headers)
	row.Headers, err = s.sealer.Seal(plain, webhookContext(row.UserID, row.ID, sealedWebhookHeaders))
	return err
}

// open returns the secret of a webhook, its previous one if there is one that still signs along, and its headers.
func (s webhookSecrets) open(row webhookRow, now time.Time) (secret, old string, headers map[string]string, err error) {
	plain, err := s.sealer.Open(row.Secret, webhookContext(row.UserID, row.ID, sealedWebhookSecret))
	if err != nil {
		return "", "", nil, fmt.Errorf("opening the secret of webhook %s: %w", row.ID, err)
	}
	secret = string(plain)
	if row.OldSecret != nil && row.oldUntil().After(now) {
		if plain, err = s.sealer.Open(row.OldSecret, webhookContext(row.UserID, row.ID, sealedWebhookSecret)); err != nil {
			return "", "", nil, fmt.Errorf("opening the previous secret of webhook %s: %w", row.ID, err)
		}
		old = string(plain)
	}
	if row.Headers == nil {
		return secret, old, nil, nil
	}
	if plain, err = s.sealer.Open(row.Headers, webhookContext(row.UserID, row.ID, sealedWebhookHeaders)); err != nil {
		return "", "", nil, fmt.Errorf("opening the headers of webhook %s: %w", row.ID, err)
	}
	if err = json.Unmarshal(plain, &headers); err != nil {
		return "", "", nil, fmt.Errorf("reading the headers of webhook %s: %w", row.ID, err)
	}
	return secret, old, headers, nil
}
