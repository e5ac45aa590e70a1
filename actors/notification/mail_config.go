package notification

import (
	"errors"
	"net/mail"
	"net/url"
	"os"
	"strings"

	"github.com/weftmesh/weft/actors/notification/providers"
	"github.com/weftmesh/weft/mesh"
)

// DKIMConfig is how mail is signed that is sent by SMTP (RFC 6376). SendGrid and SES sign with keys of their own.
type DKIMConfig struct {
	// Domain and Selector name the key: the public one is in the TXT record SELECTOR._domainkey.DOMAIN. Mail is not signed without a domain.
	Domain   string `koanf:"domain"`
	Selector string `koanf:"selector"`
	// KeyFile is a file with the private key, Key the key itself: PEM of an RSA key (at least 2048 bits) or an Ed25519 key (RFC 8463), or
	// the seed of the latter in base64.
	KeyFile string      `koanf:"key_file"`
	Key     mesh.Secret `koanf:"key"`
}

// load reads the key; nil where mail is not signed.
func (c DKIMConfig) load() (*providers.DKIM, error) {
	if c.Domain == "" {
		return nil, nil
	}
	key, setting := c.Key.Reveal(), "notification.dkim.key"
	if c.KeyFile != "" {
		data, err := os.ReadFile(c.KeyFile)
		if err != nil {
			return nil, mesh.InvalidSetting("notification.dkim.key_file", "cannot be read: %v", err)
		}
		key, setting = string(data), "notification.dkim.key_file"
	}
	d, err := providers.ParseDKIM(c.Domain, c.Selector, key)
	if err != nil {
		return nil, mesh.InvalidSetting(setting, "%v", err)
	}
	return d, nil
}

// check returns a mesh.SettingError for each invalid setting. It reads the key's file, so that weft does not start without it.
func (c DKIMConfig) check(from string) error {
	if c.Domain == "" {
		return nil
	}
	var errs []error
	if c.Selector == "" {
		errs = append(errs, mesh.InvalidSetting("notification.dkim.selector", "is required with notification.dkim.domain"))
	}
	if (c.Key == "") == (c.KeyFile == "") {
		return errors.Join(append(errs, mesh.InvalidSetting("notification.dkim.key_file", "or notification.dkim.key is required, and not both"))...)
	}
	_, err := c.load()
	errs = append(errs, err)
	// Relaxed alignment (RFC 7489 §3.1.1): the sender's domain is the signature's or below it.
	if sender, err := mail.ParseAddress(from); err == nil {
		domain, own := strings.ToLower(sender.Address[strings.LastIndexByte(sender.Address, '@')+1:]), strings.ToLower(c.Domain)
		if domain != own && !strings.HasSuffix(domain, "."+own) {
			errs = append(errs, mesh.InvalidSetting("notification.dkim.domain",
				"is %s, and must be the domain of notification.smtp.from (%s) or one above it: DMARC takes no other signature", c.Domain, domain))
		}
	}
	return errors.Join(errs...)
}

// checkPublicURL returns a SettingError unless value is empty or the base of URLs.
func checkPublicURL(value string) error {
	u, err := url.Parse(value)
	if value == "" || err == nil && u.Hostname() != "" && (u.Scheme == "https" || u.Scheme == "http") && u.RawQuery == "" && u.Fragment == "" && u.User == nil {
		return nil
	}
	return mesh.InvalidSetting("notification.public_url", "is %q, and must be an http or https URL without query", value)
}
