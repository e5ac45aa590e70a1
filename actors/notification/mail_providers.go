package notification

import (
	"context"
	"fmt"
	netmail "net/mail"

	"github.com/weftmesh/weft/actors/egress"
	"github.com/weftmesh/weft/actors/notification/channel"
	"github.com/weftmesh/weft/actors/notification/mailcheck"
	"github.com/weftmesh/weft/actors/notification/providers"
)

// mailProviders makes the providers of mail that are configured; SMTP alone if none is, which then says so for each message. returnPath
// is that of providers.SMTPOptions.
//
// They count as idempotent: mail that arrives twice, with one Message-ID unless SES sends it, is better than mail that is lost.
func mailProviders(
	c Config, d providers.Deps, returnPath func(ctx context.Context, m channel.Message) (string, error),
) (entries []channel.Entry, err error) {
	if c.SES.Enabled() {
		p, err := providers.NewSES(d, c.SES)
		if err != nil {
			return nil, err
		}
		entries = append(entries, channel.Entry{Provider: p, Weight: c.SES.Weight, Idempotent: true})
	}
	if c.SendGrid.Enabled() {
		p, err := providers.NewSendGrid(d, c.SendGrid)
		if err != nil {
			return nil, err
		}
		entries = append(entries, channel.Entry{Provider: p, Weight: c.SendGrid.Weight, Idempotent: true})
	}
	if len(entries) > 0 && !c.SMTP.Enabled() {
		return entries, nil
	}
	dkim, err := c.DKIM.load()
	if err != nil {
		return nil, err
	}
	p, err := providers.NewSMTP(providers.SMTPOptions{DKIM: dkim, ReturnPath: returnPath, Now: d.Now}, c.SMTP)
	if err != nil {
		return nil, err
	}
	return append(entries, channel.Entry{Provider: p, Weight: max(c.SMTP.Weight, 1), Idempotent: true}), nil
}

// CheckMail checks the mail of each provider that is configured, with Resolver, TLS, To, ID and Now of o. It needs no database.
func CheckMail(ctx context.Context, c Config, client *egress.Client, o mailcheck.Options) ([]*mailcheck.Report, error) {
	if err := c.Check(); err != nil {
		return nil, err
	}
	entries, err := mailProviders(c, providers.Deps{Client: client, Now: o.Now}, func(context.Context, channel.Message) (string, error) {
		if c.SMTP.BounceAddress != "" {
			return c.SMTP.BounceAddress, nil
		}
		from, err := netmail.ParseAddress(c.SMTP.From)
		if err != nil {
			return "", fmt.Errorf("reading the sender: %w", err)
		}
		return from.Address, nil
	})
	if err != nil {
		return nil, err
	}
	if o.DKIM, err = c.DKIM.load(); err != nil {
		return nil, err
	}
	o.SMTP = c.SMTP
	reports := make([]*mailcheck.Report, len(entries))
	for i, e := range entries {
		o.Provider, o.From = e.Provider, map[string]string{
			providers.NameSES: c.SES.From, providers.NameSendGrid: c.SendGrid.From, providers.NameSMTP: c.SMTP.From,
		}[e.Provider.Name()]
		reports[i] = mailcheck.Run(ctx, o)
	}
	return reports, nil
}
