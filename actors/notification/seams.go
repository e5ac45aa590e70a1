package notification

import (
	"context"

	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/actors/notification/channel"
	"github.com/weftmesh/weft/subjects"
)

// seams are what other parts of the actor give to the pipeline.
type seams struct {
	// providers has the provider of each channel.
	providers map[string]channel.Provider
	// phones and devices return a user's addresses for SMS and push.
	phones, devices func(ctx context.Context, userID string) ([]channel.Address, error)
	// dropAddress forgets an address that a provider no longer accepts.
	dropAddress func(ctx context.Context, userID, ch string, address channel.Address) error
	// toWebhooks returns what hands a notification over to the webhooks of its user, in the transaction that records its delivery; nil where
	// the user has none for it.
	toWebhooks func(ctx context.Context, n notificationRow, c content, r channel.Rendered) (func(context.Context, database.Tx) error, error)
}

// render returns the text of a notification for one channel. A template is rendered in the language of the request, or else the one that auth
// has for the user. The message of a batch is rendered by TemplateBatch, unless it has one item. It must not be called in a transaction,
// since it may ask auth. The error is a permanent *channel.Error where the template cannot be rendered.
func (pl *pipeline) render(ctx context.Context, n notificationRow, c content, ch string, to *recipientContact) (channel.Rendered, error) {
	if c.Template == "" && len(c.Items) == 0 {
		return channel.Rendered{Subject: c.Subject, Text: c.Body, Locale: c.Locale}, nil
	}
	if len(c.Items) == 1 {
		return pl.renderOnly(ctx, n, c, ch, to)
	}
	contact, err := to.get(ctx)
	if err != nil && subjects.CodeOf(err) != subjects.CodeNotFound {
		return channel.Rendered{}, err
	}
	if c.Locale != "" {
		contact.Locale = c.Locale
	}
	data, err := c.variables()
	if err != nil {
		return channel.Rendered{}, err
	}
	out, err := pl.templates.render(ctx, rendering{
		template: c.Template, revision: c.Revision, channel: ch, reader: readerOf(contact), data: data, notificationID: n.ID, category: n.Category,
	})
	if isTemplateFault(err) {
		pl.metrics.renderings.WithLabelValues(ch, statusFailed).Inc()
		return channel.Rendered{}, outcomeError{reasonNotRendered, &channel.Error{Class: channel.Permanent, Detail: err.Error(), Cause: err}}
	}
	if err == nil {
		pl.metrics.renderings.WithLabelValues(ch, resultRendered).Inc()
	}
	return channel.Rendered{
		Subject: out.Subject, Text: out.Text, HTML: out.HTML, Locale: out.locale, TemplateVersion: out.version,
	}, err
}

// renderOnly renders the only item of a batch: by its template, or as the text that was rendered of it where that fails for good.
func (pl *pipeline) renderOnly(ctx context.Context, n notificationRow, c content, ch string, to *recipientContact) (channel.Rendered, error) {
	only := c.Items[0]
	text := channel.Rendered{Subject: only.Subject, Text: only.Body, Locale: c.Locale}
	if only.Template == "" {
		return text, nil
	}
	out, err := pl.render(ctx, n, content{Template: only.Template, Revision: c.Revision, Locale: c.Locale, Data: only.Data}, ch, to)
	if err != nil && channel.ClassOf(err) == channel.Permanent {
		return text, nil
	}
	return out, err
}

// maxItemsText bounds the subjects and texts of the items of a batch together in bytes, which leaves the batch's template room in-app.
const maxItemsText = 24 << 10

// renderItems renders the items of a batch that have a template, for the batch's channel. One that cannot be rendered stays without text. The
// text of each is cut to an equal share of maxItemsText; that of a single item, which is the message, is not.
func (pl *pipeline) renderItems(ctx context.Context, n notificationRow, rows []content, items []item, ch string, to *recipientContact) error {
	share := maxItemsText / len(items)
	for i, c := range rows {
		if c.Template != "" {
			out, err := pl.render(ctx, n, c, ch, to)
			if err != nil && channel.ClassOf(err) != channel.Permanent {
				return err
			}
			items[i].Subject, items[i].Body = out.Subject, out.Text
		}
		if len(items) > 1 {
			items[i].Subject = channel.Truncate(items[i].Subject, share/4)
			items[i].Body = channel.Truncate(items[i].Body, share-len(items[i].Subject))
		}
	}
	return nil
}
