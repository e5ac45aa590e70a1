package notification

import (
	"strings"

	"github.com/prometheus/client_golang/prometheus"
)

// registerMail adds the metrics of mail. Domains are the classes of domainClass, providers those that are configured.
func (m *metrics) registerMail(r prometheus.Registerer) {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		c := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
		r.MustRegister(c)
		return c
	}
	m.callbacks = counter("notification_callbacks_total",
		"Callbacks of providers by result: accepted, unverified, malformed, failed, unknown.", "provider", "result")
	m.mailDelivered = counter("notification_mail_delivered_total", "Mail that the recipient's server accepted, by class of its domain.", "domain")
	m.mailFailed = counter("notification_mail_bounced_total",
		"Mail that bounced after its provider had accepted it, by class of the recipient's domain.", "domain")
	m.complaints = counter("notification_complaints_total", "Mail that its recipient has marked as spam, by class of the recipient's domain.", "domain")
	m.unsubscribes = counter("notification_unsubscribes_total", "Unsubscriptions by category.", "category")
}

// mailDomains are the domains of the large receivers of mail.
var mailDomains = map[string]string{
	"gmail.com": "gmail", "googlemail.com": "gmail",
	"outlook.com": "outlook", "hotmail.com": "outlook", "live.com": "outlook", "msn.com": "outlook",
	"yahoo.com": "yahoo", "ymail.com": "yahoo", "rocketmail.com": "yahoo", "aol.com": "yahoo",
	"icloud.com": "icloud", "me.com": "icloud", "mac.com": "icloud",
}

// domainClass returns the receiver that an address's domain is of: gmail, outlook, yahoo, icloud or other.
func domainClass(address string) string {
	domain := strings.ToLower(address[strings.LastIndexByte(address, '@')+1:])
	if class := mailDomains[domain]; class != "" {
		return class
	}
	name, _, _ := strings.Cut(domain, ".")
	switch name { // yahoo.de, hotmail.co.uk
	case "yahoo", "outlook":
		return name
	case "hotmail", "live":
		return "outlook"
	}
	return "other"
}
