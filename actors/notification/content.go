package notification

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
)

// content is the confidential part of a notification. It is sealed at rest because an e-mail may carry a link that
// signs its reader in.
type content struct {
	Subject string                     `json:"subject,omitempty"`
	Body    string                     `json:"body,omitempty"`
	Data    map[string]json.RawMessage `json:"data,omitempty"`
}

// contentContext binds sealed content to its notification.
func contentContext(id string) []byte { return []byte("notification|" + id) }

// seal encrypts the content of the notification with the given id.
func (a *Actor) seal(id string, c content) (string, error) {
	plain, err := json.Marshal(c)
	if err != nil {
		return "", fmt.Errorf("encoding a notification: %w", err)
	}
	sealed, err := a.Sealer.Seal(plain, contentContext(id))
	return base64.StdEncoding.EncodeToString(sealed), err
}

// open decrypts the content of a row.
func (a *Actor) open(n notificationRow) (content, error) {
	var c content
	sealed, err := base64.StdEncoding.DecodeString(n.Content)
	if err != nil {
		return c, fmt.Errorf("reading a notification: %w", err)
	}
	plain, err := a.Sealer.Open(sealed, contentContext(n.ID))
	if err != nil {
		return c, err
	}
	if err := json.Unmarshal(plain, &c); err != nil {
		return c, fmt.Errorf("reading a notification: %w", err)
	}
	return c, nil
}
