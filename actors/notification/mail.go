package notification

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/actors/egress"
	"github.com/weftmesh/weft/actors/notification/channel"
	"github.com/weftmesh/weft/actors/notification/providers"
	"github.com/weftmesh/weft/subjects"
)

const (
	// mailMaintenance is the interval of deletions of old records of reports.
	mailMaintenance = time.Hour
	// reportsKept is how long a report is recognised as a repetition; longer than any provider repeats one.
	reportsKept = 7 * 24 * time.Hour
	// callbackTimeout bounds a request that a callback makes necessary, such as for a certificate.
	callbackTimeout = 5 * time.Second
)

// receiver verifies a callback and returns its reports. url is the callback's own. An error is CodeUnauthenticated for a callback whose
// origin cannot be verified.
type receiver func(ctx context.Context, url string, header http.Header, body []byte) ([]providers.Feedback, error)

// mailer is the provider of the channel email: it sends by the providers of mail that are configured, and knows to whom nothing is sent.
type mailer struct {
	actors.Deps

	config Config
	store  store
	keys   *channelKeys
	router *channel.Router
	// receivers of callbacks by provider.
	receivers map[string]receiver
	metrics   metrics
	// switchOff switches a channel off for a category of a user. reported counts what a provider reports.
	switchOff func(ctx context.Context, tx database.Tx, userID, category, channel string) error
	reported  func(ctx context.Context, tx database.Tx, d deliveryRow, r providers.Feedback) error
}

// newMailer makes a mailer from checked settings.
func newMailer(d actors.Deps, c Config, counted metrics, keys *channelKeys) (*mailer, error) {
	m := &mailer{Deps: d, config: c, store: store{db: d.DB}, metrics: counted, keys: keys, receivers: map[string]receiver{}}
	client, err := egress.New(egress.Options{Allow: d.EgressAllow, AllowHTTP: d.EgressAllowHTTP, UserAgent: "weft/" + d.Version})
	if err != nil {
		return nil, fmt.Errorf("making a client for providers of mail: %w", err)
	}
	var returnPath func(ctx context.Context, m channel.Message) (string, error)
	if c.SMTP.BounceAddress != "" {
		returnPath = m.returnPath
	}
	entries, err := mailProviders(c, providers.Deps{Client: client, Now: d.Now}, returnPath)
	if err != nil {
		return nil, err
	}
	m.router = channel.NewRouter(channel.Options{Timeout: c.SMTP.Timeout}, entries...)
	return m, m.addReceivers()
}

// addReceivers makes the receivers of callbacks that are configured. SNS's certificates may have issuers at http addresses, which are
// verified by their chain.
func (m *mailer) addReceivers() error {
	if m.config.SMTP.BounceSecret != "" {
		bounces := &providers.Bounces{Secret: m.config.SMTP.BounceSecret.Reveal(), VERP: m.verp}
		m.receivers[providers.NameSMTP] = func(ctx context.Context, _ string, header http.Header, body []byte) ([]providers.Feedback, error) {
			return bounces.Receive(ctx, header, body)
		}
	}
	if key := m.config.SendGrid.WebhookKey; key != "" {
		reports, err := providers.NewSendGridReports(key, m.Now)
		if err != nil {
			return fmt.Errorf("notification.sendgrid.webhook_key: %w", err)
		}
		m.receivers[providers.NameSendGrid] = func(_ context.Context, _ string, header http.Header, body []byte) ([]providers.Feedback, error) {
			return reports.Receive(header, body)
		}
	}
	if c := m.config.Twilio; c.Enabled() {
		m.receivers[providers.NameTwilio] = func(_ context.Context, url string, header http.Header, body []byte) ([]providers.Feedback, error) {
			return providers.ReceiveTwilio(c.AuthToken.Reveal(), cmp.Or(c.StatusCallback, url), header, body)
		}
	}
	if len(m.config.SES.Topics) == 0 {
		return nil
	}
	client, err := egress.New(egress.Options{Allow: m.EgressAllow, AllowHTTP: true, UserAgent: "weft/" + m.Version, Timeout: callbackTimeout})
	if err != nil {
		return fmt.Errorf("making a client for callbacks: %w", err)
	}
	reports := providers.NewSESReports(providers.NewSNSMessages(providers.SNSMessagesOptions{
		Topics: m.config.SES.Topics, StandIn: m.config.SES.SNSURL, Now: m.Now,
		Fetch: func(ctx context.Context, url string) ([]byte, error) { return fetch(ctx, client, url) },
	}))
	m.receivers[providers.NameSES] = func(ctx context.Context, _ string, _ http.Header, body []byte) ([]providers.Feedback, error) {
		return reports.Receive(ctx, body)
	}
	return nil
}

// fetch makes a GET request and returns the body of a 200 answer. A redirect is not followed.
func fetch(ctx context.Context, client *egress.Client, url string) ([]byte, error) {
	answer, err := client.Do(ctx, egress.Request{URL: url, NoRedirect: true, MaxBody: 256 << 10})
	if err != nil {
		return nil, err
	}
	if answer.Status != http.StatusOK {
		return nil, fmt.Errorf("the answer has the status %d", answer.Status)
	}
	return answer.Body, nil
}

// Name implements channel.Provider.
func (*mailer) Name() string { return channel.Email }

// Send implements channel.Provider: it makes one attempt to send a message, unless its address is suppressed. It adds the address for
// unsubscribing.
func (m *mailer) Send(ctx context.Context, msg channel.Message) (channel.Receipt, error) {
	none := channel.Receipt{}
	reason, err := m.suppressed(ctx, msg.Address.To, msg.Category)
	if err != nil {
		return none, err
	}
	if reason != "" {
		return none, &channel.Error{Class: channel.Suppressed, Code: reason, Detail: "the address is on the suppression list"}
	}
	if msg.UnsubscribeURL, err = m.unsubscribeURL(ctx, msg.UserID, msg.Category, channel.Email); err != nil {
		return none, err
	}
	receipt, err := m.router.Send(ctx, msg)
	var e *channel.Error
	if errors.As(err, &e) && e.Class == channel.Suppressed {
		err = m.rejected(ctx, msg, e)
	}
	return receipt, err
}

// rejected suppresses the address that a provider has refused for good, and returns the refusal.
func (m *mailer) rejected(ctx context.Context, msg channel.Message, refusal *channel.Error) error {
	row, err := m.newSuppression(ctx, msg.Address.To, reasonBounce)
	if err != nil {
		return err
	}
	row.UserID, row.Provider, row.Detail = msg.UserID, refusal.Provider, channel.Truncate(refusal.Error(), maxSuppressionDetail)
	if err := m.DB.RunInTx(ctx, func(ctx context.Context, tx database.Tx) error { return m.store.suppress(ctx, tx, row) }); err != nil {
		return err
	}
	return refusal
}

// maxSuppressionDetail bounds the detail of a suppression in bytes.
const maxSuppressionDetail = 300

// verp returns what makes and opens return paths.
func (m *mailer) verp(ctx context.Context) (providers.VERP, error) {
	key, err := m.keys.key(ctx, "bounce")
	return providers.VERP{Address: m.config.SMTP.BounceAddress, Key: key}, err
}

// returnPath returns the envelope sender of a message.
func (m *mailer) returnPath(ctx context.Context, msg channel.Message) (string, error) {
	verp, err := m.verp(ctx)
	if err != nil {
		return "", err
	}
	return verp.ReturnPath(msg.NotificationID, msg.Address.To), nil
}

// callbackURL returns the address of a provider's callback as the provider knows it.
func (m *mailer) callbackURL(r subjects.ProviderCallbackRequest) string {
	url := strings.TrimSuffix(m.config.PublicURL, "/") + "/v1/callbacks/" + r.Provider
	if r.Query != "" {
		url += "?" + r.Query
	}
	return url
}
