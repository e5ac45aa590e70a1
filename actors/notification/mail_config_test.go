package notification_test

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/actors/notification"
)

// TestMailSettings: each invalid setting is named.
func TestMailSettings(t *testing.T) {
	t.Parallel()
	key := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(key, []byte("MC4CAQAwBQYDK2VwBCIEIA=="), 0o600); err != nil {
		t.Fatal(err)
	}
	const seed = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
	dkim := func(c *notification.Config) {
		c.SMTP.From = "weft@news.example.com"
		c.DKIM.Domain, c.DKIM.Selector, c.DKIM.Key = "example.com", "weft", seed
	}
	for name, test := range map[string]struct {
		change  func(c *notification.Config)
		setting string
	}{
		"the defaults":                 {func(*notification.Config) {}, ""},
		"DKIM above the sender":        {dkim, ""},
		"DKIM without selector":        {func(c *notification.Config) { dkim(c); c.DKIM.Selector = "" }, "notification.dkim.selector"},
		"DKIM without key":             {func(c *notification.Config) { dkim(c); c.DKIM.Key = "" }, "notification.dkim.key_file"},
		"DKIM with two keys":           {func(c *notification.Config) { dkim(c); c.DKIM.KeyFile = key }, "notification.dkim.key_file"},
		"DKIM with no key":             {func(c *notification.Config) { dkim(c); c.DKIM.Key = "canary" }, "notification.dkim.key"},
		"DKIM with a missing file":     {func(c *notification.Config) { dkim(c); c.DKIM.Key, c.DKIM.KeyFile = "", key+"x" }, "notification.dkim.key_file"},
		"DKIM with a faulty file":      {func(c *notification.Config) { dkim(c); c.DKIM.Key, c.DKIM.KeyFile = "", key }, "notification.dkim.key_file"},
		"DKIM of another domain":       {func(c *notification.Config) { dkim(c); c.DKIM.Domain = "ample.com" }, "notification.dkim.domain"},
		"a bounce address":             {func(c *notification.Config) { c.SMTP.BounceAddress = "bounce@example.com" }, ""},
		"a long bounce address":        {func(c *notification.Config) { c.SMTP.BounceAddress = "bounces-of-weft-mail@example.com" }, "notification.smtp.bounce_address"},
		"a bounce address with a name": {func(c *notification.Config) { c.SMTP.BounceAddress = "b <b@example.com>" }, "notification.smtp.bounce_address"},
		"a short bounce secret":        {func(c *notification.Config) { c.SMTP.BounceSecret = "canary" }, "notification.smtp.bounce_secret"},
		"SendGrid without sender":      {func(c *notification.Config) { c.SendGrid.APIKey = "canary" }, "notification.sendgrid.from"},
		"SendGrid with a faulty key": {func(c *notification.Config) {
			c.SendGrid.APIKey, c.SendGrid.From, c.SendGrid.WebhookKey = "canary", "weft@example.com", "canary"
		}, "notification.sendgrid.webhook_key"},
		"SES without credentials": {func(c *notification.Config) { c.SES.Region, c.SES.From = "eu-central-1", "weft@example.com" }, "notification.ses.access_key_id"},
		"SES with a faulty topic": {func(c *notification.Config) { c.SES.Topics = []string{"mail"} }, "notification.ses.topics"},
		"a public URL with query": {func(c *notification.Config) { c.PublicURL = "https://weft.example.com/?a" }, "notification.public_url"},
	} {
		config := notification.DefaultConfig()
		test.change(&config)
		err := config.Check()
		if (err == nil) != (test.setting == "") || err != nil && (!strings.Contains(err.Error(), test.setting+" ") || strings.Contains(err.Error(), "canary")) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestMailFailover: a message that one provider cannot take goes by another.
func TestMailFailover(t *testing.T) {
	t.Parallel()
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusUnauthorized) }))
	t.Cleanup(api.Close)
	f := setup(t, actortest.Databases(t)[0], func(c *notification.Config) {
		mailSettings(c)
		c.SendGrid.APIKey, c.SendGrid.From, c.SendGrid.BaseURL, c.SendGrid.Weight = "SG.x", "weft@example.com", api.URL, 1000
	})
	f.startWithProvider(t)
	ada := f.user(t, actortest.User())
	if d := f.await(t, ada, f.mail(t, ada, "system"), "delivered").Channels[0]; d.Attempts != 1 || len(f.sink.Mails()) != 1 {
		t.Errorf("delivery %+v, %d mails", d, len(f.sink.Mails()))
	}
}
