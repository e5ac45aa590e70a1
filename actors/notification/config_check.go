package notification

import (
	"errors"
	"net"
	netmail "net/mail"
	"slices"

	"github.com/weftmesh/weft/mesh"
)

// Check returns a mesh.SettingError for each invalid setting. Without a mail server only its sender is checked.
func (c Config) Check() error {
	return errors.Join(
		mesh.SettingPositive("notification.tick", c.Tick),
		mesh.SettingAtLeast("notification.max_scheduled_per_user", c.MaxScheduledPerUser, 0),
		mesh.SettingAtLeast("notification.max_kept_per_user", c.MaxKeptPerUser, 1),
		mesh.SettingAtLeast("notification.max_kept_bytes_per_user", c.MaxKeptBytesPerUser, 1),
		c.Pipeline.check(), c.SMTP.check())
}

func (c SMTPConfig) check() error {
	var errs []error
	if _, err := netmail.ParseAddress(c.From); err != nil {
		errs = append(errs, mesh.InvalidSetting("notification.smtp.from", "is %q, and must be an e-mail address: %v", c.From, err))
	}
	if c.Host == "" {
		return errors.Join(errs...)
	}
	errs = append(errs,
		mesh.SettingBetween("notification.smtp.port", c.Port, 1, 65535),
		mesh.SettingPositive("notification.smtp.timeout", c.Timeout))
	if !slices.Contains([]string{tlsStartTLS, tlsImplicit, tlsNone}, c.TLS) {
		errs = append(errs, mesh.InvalidSetting("notification.smtp.tls", "is %q, and must be starttls, tls or none", c.TLS))
	}
	if ip := net.ParseIP(c.Host); c.TLS == tlsNone && c.Host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		errs = append(errs, mesh.InvalidSetting("notification.smtp.tls", "is none, which is allowed for a server on this machine only, not for %s", c.Host))
	}
	return errors.Join(errs...)
}
