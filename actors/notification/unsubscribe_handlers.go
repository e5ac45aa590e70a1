package notification

import (
	"bytes"
	"context"
	_ "embed"
	"fmt"
	"html/template"
	"net/http"
	"strings"

	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/actors/notification/channel"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

//go:embed unsubscribe_page.html
var unsubscribePageSource string

var unsubscribePage = template.Must(template.New("page").Parse(unsubscribePageSource))

// unsubscribeText is the text of the page. It never has an address or a user's name.
type unsubscribeText struct{ Title, Text, Button string }

var categoryNames = map[string]string{
	"system": "system messages", "workflow": "messages of workflows", "integration": "messages about connections",
	"consent": "messages about consents", "marketing": "news and offers",
}

var channelNames = map[string]string{
	channel.Email: "e-mail", channel.SMS: "SMS", channel.Push: "push", channel.InApp: "in the app", channel.Webhook: "webhook",
}

// names returns how a page calls the category and the channel.
func (u unsubscription) names() (category, by string) {
	return categoryNames[u.category], channelNames[u.channel]
}

// errNoUnsubscribe is the answer to a token that is not authentic. It does not say why.
var errNoUnsubscribe = subjects.Errorf(subjects.CodeNotFound, "there is nothing to unsubscribe from at this address")

// unsubscribe switches a channel off for a category (RFC 8058 §3.2).
func (m *mailer) unsubscribe(ctx context.Context, r subjects.UnsubscribeRequest) (subjects.Document, error) {
	u, err := m.readToken(ctx, r.Token)
	if err != nil {
		return subjects.Document{}, err
	}
	exists, err := m.accountExists(ctx, u.userID)
	if err != nil {
		return subjects.Document{}, err
	}
	if exists {
		err = m.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) error {
			return m.switchOff(ctx, tx, u.userID, u.category, u.channel)
		})
		if err != nil {
			return subjects.Document{}, err
		}
		m.metrics.unsubscribes.WithLabelValues(u.category).Inc()
	}
	category, by := u.names()
	return page(http.StatusOK, unsubscribeText{
		Title: "You are unsubscribed",
		Text:  fmt.Sprintf("You get no more %s by %s. You can switch them on again in your settings.", category, by),
	})
}

// accountExists reports whether an account may still exist. An erased one must leave nothing behind. While auth cannot be asked, the
// wish is recorded rather than lost.
func (m *mailer) accountExists(ctx context.Context, userID string) (bool, error) {
	_, err := mesh.Call(ctx, m.Conn, subjects.GetContact, subjects.Empty{}, mesh.As{Service: true, UserID: userID})
	if subjects.CodeOf(err) == subjects.CodeNotFound {
		return false, nil
	}
	return true, ctx.Err()
}

// unsubscribePage shows what the token names, with a button. It changes nothing.
func (m *mailer) unsubscribePage(ctx context.Context, r subjects.UnsubscribePageRequest) (subjects.Document, error) {
	u, err := m.readToken(ctx, r.Token)
	if subjects.CodeOf(err) == subjects.CodeNotFound {
		return page(http.StatusOK, unsubscribeText{
			Title: "This link is not complete", Text: "It may have been cut when it was copied. Open it from the message itself.",
		})
	}
	if err != nil {
		return subjects.Document{}, err
	}
	category, by := u.names()
	return page(http.StatusOK, unsubscribeText{
		Title: "Unsubscribe?", Text: fmt.Sprintf("You will get no more %s by %s.", category, by), Button: "Unsubscribe",
	})
}

func page(status int, text unsubscribeText) (subjects.Document, error) {
	var body bytes.Buffer
	if err := unsubscribePage.Execute(&body, text); err != nil {
		return subjects.Document{}, fmt.Errorf("rendering the page: %w", err)
	}
	return subjects.Document{
		ContentType: "text/html; charset=utf-8", Body: body.Bytes(), Status: status, Headers: map[string]string{"Cache-Control": "no-store"},
	}, nil
}

// unsubscribeURL returns the address of a message's List-Unsubscribe; empty for a category that cannot be unsubscribed from.
func (m *mailer) unsubscribeURL(ctx context.Context, userID, category, channel string) (string, error) {
	if !canUnsubscribe(category) || m.config.PublicURL == "" {
		return "", nil
	}
	key, err := m.keys.key(ctx, "unsubscribe")
	if err != nil {
		return "", err
	}
	return strings.TrimSuffix(m.config.PublicURL, "/") + "/v1/unsubscribe/" + unsubscription{userID, category, channel}.token(key), nil
}

// readToken returns what a token names, or errNoUnsubscribe.
func (m *mailer) readToken(ctx context.Context, token string) (unsubscription, error) {
	key, err := m.keys.key(ctx, "unsubscribe")
	if err != nil {
		return unsubscription{}, err
	}
	u, err := readToken(key, token)
	if err != nil {
		return u, errNoUnsubscribe
	}
	return u, nil
}
