package mailcheck

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	netmail "net/mail"
	"strings"
	"time"

	"golang.org/x/net/publicsuffix"

	"github.com/weftmesh/weft/actors/notification/channel"
	"github.com/weftmesh/weft/actors/notification/providers"
)

// The states of a finding.
const (
	// OK: as it should be. Warning: mail may be refused or filtered. Failed: mail is refused, or is not sent at all.
	OK      = "ok"
	Warning = "warning"
	Failed  = "failed"
	// Skipped: it cannot be found out, or does not apply.
	Skipped = "skipped"
)

// Finding is the result of one check.
type Finding struct {
	Check  string `json:"check"`
	Status string `json:"status"`
	Detail string `json:"detail"`
	// Hint says what to do; empty if there is nothing to do.
	Hint string `json:"hint,omitempty"`
}

// Report has the results of all checks, in their order.
type Report struct {
	From     string    `json:"from"`
	Domain   string    `json:"domain"`
	Provider string    `json:"provider"`
	Findings []Finding `json:"findings"`
	// Dialogue has the lines that were exchanged with the mail server, without credentials.
	Dialogue []string `json:"dialogue,omitempty"`
}

// Failed reports whether a check has failed.
func (r *Report) Failed() bool {
	for _, f := range r.Findings {
		if f.Status == Failed {
			return true
		}
	}
	return false
}

func (r *Report) add(check, status, detail, hint string) {
	r.Findings = append(r.Findings, Finding{check, status, detail, hint})
}

// Resolver looks names up. A *net.Resolver is one.
type Resolver interface {
	LookupTXT(ctx context.Context, name string) ([]string, error)
	LookupMX(ctx context.Context, name string) ([]*net.MX, error)
	LookupIPAddr(ctx context.Context, host string) ([]net.IPAddr, error)
	LookupAddr(ctx context.Context, addr string) ([]string, error)
}

// Options say what is checked.
type Options struct {
	Resolver Resolver
	// Provider sends the test message; its name decides which checks apply.
	Provider channel.Provider
	// From is the sender that Provider uses.
	From string
	SMTP providers.SMTPConfig
	// DKIM is the key that weft signs with; nil for none.
	DKIM *providers.DKIM
	// TLS is the configuration of the connection to the mail server; nil for the defaults.
	TLS *tls.Config
	// To is the recipient of a test message; empty to send none. ID is the message's.
	To, ID string
	Now    func() time.Time
}

// check is one run.
type check struct {
	Options

	report *Report
	// domain is the sender's, envelope the one of the envelope's sender.
	domain, envelope string
	// spf and dkim say whether a message will pass, as far as that can be told from here; unknown while a provider signs itself.
	spf, dkim verdict
}

type verdict int

const (
	unknown verdict = iota
	passes
	fails
)

// Run makes all checks. It takes as long as DNS and the mail server take, at most until ctx ends.
func Run(ctx context.Context, o Options) *Report {
	c := &check{Options: o, report: &Report{From: o.From, Provider: o.Provider.Name()}}
	from, err := netmail.ParseAddress(o.From)
	if err != nil {
		c.report.add("sender", Failed, fmt.Sprintf("%q is no e-mail address", o.From), "Set the sender, such as weft <weft@example.com>.")
		return c.report
	}
	c.domain = domainOf(from.Address)
	c.envelope, c.report.Domain = c.domain, c.domain
	if o.Provider.Name() == providers.NameSMTP && o.SMTP.BounceAddress != "" {
		c.envelope = domainOf(o.SMTP.BounceAddress)
	}
	if !c.sender() {
		return c.report
	}
	c.checkSPF(ctx)
	c.checkDKIM(ctx)
	c.checkDMARC(ctx)
	c.checkReturn(ctx)
	if o.Provider.Name() == providers.NameSMTP {
		c.checkServer(ctx)
	}
	c.sendTest(ctx)
	return c.report
}

// domainOf returns the domain of an address in lower case.
func domainOf(address string) string {
	return strings.ToLower(address[strings.LastIndexByte(address, '@')+1:])
}

// organization returns the organizational domain (RFC 7489 §3.2): the one below a public suffix.
func organization(domain string) string {
	if found, err := publicsuffix.EffectiveTLDPlusOne(domain); err == nil {
		return found
	}
	return domain
}

// sender checks that the sender's domain can exist.
func (c *check) sender() bool {
	if _, err := publicsuffix.EffectiveTLDPlusOne(c.domain); err != nil || c.domain == "localhost" {
		c.report.add("sender", Failed, c.From+" is of no domain that others can look up", "Set the sender to an address of a domain of yours.")
		return false
	}
	c.report.add("sender", OK, "mail comes from "+c.From, "")
	return true
}

// notFound reports whether a name does not exist, or has no record of the type.
func notFound(err error) bool {
	var e *net.DNSError
	return errors.As(err, &e) && e.IsNotFound
}

// txt returns the TXT records of a name that begin with a version. A lookup that fails is reported as the check's result.
func (c *check) txt(ctx context.Context, check, name, version string) (records []string, ok bool) {
	all, err := c.Resolver.LookupTXT(ctx, name)
	if err != nil && !notFound(err) {
		c.report.add(check, Failed, "looking up TXT of "+name+": "+err.Error(), "Try again, or name another resolver.")
		return nil, false
	}
	for _, record := range all {
		if begin := strings.ToLower(record); begin == version || strings.HasPrefix(begin, version+" ") || strings.HasPrefix(begin, version+";") {
			records = append(records, record)
		}
	}
	return records, true
}

// checkReturn checks that bounces can arrive.
func (c *check) checkReturn(ctx context.Context) {
	if c.Provider.Name() != providers.NameSMTP {
		c.report.add("bounces", Skipped, c.Provider.Name()+" receives the bounces and reports them by callbacks", "")
		return
	}
	mx, err := c.Resolver.LookupMX(ctx, c.envelope)
	if err != nil && !notFound(err) {
		c.report.add("bounces", Failed, "looking up MX of "+c.envelope+": "+err.Error(), "Try again, or name another resolver.")
		return
	}
	switch {
	case len(mx) == 1 && mx[0].Host == ".":
		c.report.add("bounces", Failed, c.envelope+" takes no mail (null MX, RFC 7505)", "Use a sender, or a bounce_address, of a domain that receives mail.")
	case len(mx) == 0:
		c.report.add("bounces", Warning, c.envelope+" has no MX record: bounces and answers are lost", "Add an MX record, or set notification.smtp.bounce_address.")
	case c.SMTP.BounceAddress == "" || c.SMTP.BounceSecret == "":
		c.report.add("bounces", Warning, "bounces go to "+c.envelope+", and weft does not learn of them",
			"Set notification.smtp.bounce_address and bounce_secret, and pipe bounces to /v1/callbacks/smtp (docs/mail.md).")
	default:
		c.report.add("bounces", OK, "bounces go to "+c.SMTP.BounceAddress+" ("+strings.TrimSuffix(mx[0].Host, ".")+")", "")
	}
}

// sendTest sends a message to Options.To.
func (c *check) sendTest(ctx context.Context) {
	if c.To == "" {
		c.report.add("test message", Skipped, "none was sent", "Send one with --to ADDRESS.")
		return
	}
	receipt, err := c.Provider.Send(ctx, channel.Message{
		ID: c.ID + ".email", NotificationID: c.ID, Category: "system", Address: channel.Address{To: c.To},
		Rendered: channel.Rendered{Subject: "Test of weft's mail", Text: "This message was sent by `weft doctor mail`. Nothing needs to be done.\n"},
	})
	if err != nil {
		c.report.add("test message", Failed, fmt.Sprintf("%v (%s)", err, channel.ClassOf(err)), "")
		return
	}
	c.report.add("test message", OK, "accepted as "+receipt.MessageID, "Look at its Authentication-Results header where it arrives.")
}
