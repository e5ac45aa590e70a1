package notification

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/weftmesh/weft/actors/notification/template"
	"github.com/weftmesh/weft/subjects"
)

// content is the confidential part of a notification. It is sealed at rest because an e-mail may carry a link that
// signs its reader in.
type content struct {
	Subject string                     `json:"subject,omitempty"`
	Body    string                     `json:"body,omitempty"`
	Data    map[string]json.RawMessage `json:"data,omitempty"`
	// Template is rendered with Data for each channel, as it was at Revision; Subject and Body are then what was rendered in-app. Locale is
	// that of the request; empty for the recipient's.
	Template string `json:"template,omitempty"`
	Revision int64  `json:"revision,omitempty"`
	Locale   string `json:"locale,omitempty"`
	// Items are what a batch has collected, oldest first.
	Items []item `json:"items,omitempty"`
}

// item is one notification of a batch. Subject and Body of one with a template are rendered for the batch's channel.
type item struct {
	ID        string                     `json:"id"`
	Template  string                     `json:"template,omitempty"`
	Subject   string                     `json:"subject,omitempty"`
	Body      string                     `json:"body,omitempty"`
	Data      map[string]json.RawMessage `json:"data,omitempty"`
	CreatedAt time.Time                  `json:"created_at"`
}

// data returns the data of the content; that of a batch has its items and their count.
func (c content) data() map[string]json.RawMessage {
	if len(c.Items) == 0 {
		return c.Data
	}
	items, err := subjects.Encode(c.Items)
	if err != nil {
		return c.Data
	}
	return map[string]json.RawMessage{"items": items, "count": json.RawMessage(strconv.Itoa(len(c.Items)))}
}

// variables returns the data of the content for templates. The items of a batch are decoded one by one: each has the bounds of a request's data.
func (c content) variables() (*template.Object, error) {
	if len(c.Items) == 0 {
		return templateData(c.Data)
	}
	items := make([]any, len(c.Items))
	for i, it := range c.Items {
		o := object([2]string{"id", it.ID}, [2]string{"created_at", it.CreatedAt.Format(time.RFC3339Nano)})
		for _, text := range [][2]string{{"template", it.Template}, {"subject", it.Subject}, {"body", it.Body}} {
			if text[1] != "" {
				o.Set(text[0], text[1])
			}
		}
		data, err := templateData(it.Data)
		if err != nil {
			return nil, err
		}
		o.Set("data", data)
		items[i] = o
	}
	count, err := template.Decode([]byte(strconv.Itoa(len(items))))
	root := &template.Object{}
	root.Set("items", items)
	root.Set("count", count)
	return root, err
}

// contentContext binds sealed content to its notification.
func contentContext(id string) []byte { return []byte("notification|" + id) }

// seal encrypts the content of the notification with the given id.
func (pl *pipeline) seal(id string, c content) (string, error) {
	plain, err := json.Marshal(c)
	if err != nil {
		return "", fmt.Errorf("encoding a notification: %w", err)
	}
	sealed, err := pl.Sealer.Seal(plain, contentContext(id))
	return base64.StdEncoding.EncodeToString(sealed), err
}

// open decrypts the content of a row.
func (pl *pipeline) open(n notificationRow) (content, error) {
	var c content
	sealed, err := base64.StdEncoding.DecodeString(n.Content)
	if err != nil {
		return c, fmt.Errorf("reading a notification: %w", err)
	}
	plain, err := pl.Sealer.Open(sealed, contentContext(n.ID))
	if err != nil {
		return c, err
	}
	if err := json.Unmarshal(plain, &c); err != nil {
		return c, fmt.Errorf("reading a notification: %w", err)
	}
	return c, nil
}
