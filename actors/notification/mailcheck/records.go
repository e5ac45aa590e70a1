package mailcheck

import (
	"context"
	"fmt"
	"strings"

	"blitiri.com.ar/go/spf"
	"github.com/emersion/go-msgauth/dmarc"

	"github.com/weftmesh/weft/actors/notification/providers"
)

// checkSPF checks the SPF record of the envelope's domain (RFC 7208), and whether it allows the mail server.
func (c *check) checkSPF(ctx context.Context) {
	if c.Provider.Name() != providers.NameSMTP {
		c.report.add("spf", Skipped, c.Provider.Name()+" uses an envelope sender of its own unless a domain is set up there", "")
		return
	}
	records, ok := c.txt(ctx, "spf", c.envelope, "v=spf1")
	switch {
	case !ok:
	case len(records) == 0:
		c.spf = fails
		c.report.add("spf", Failed, c.envelope+" has no SPF record", "Add TXT "+c.envelope+`: "v=spf1 a:`+c.SMTP.Host+` -all"`)
	case len(records) > 1:
		c.spf = fails
		c.report.add("spf", Failed, fmt.Sprintf("%s has %d SPF records, which is an error (RFC 7208 §4.5)", c.envelope, len(records)), "Merge them into one.")
	default:
		c.evaluateSPF(ctx, records[0])
	}
}

// evaluateSPF evaluates a record for the addresses of the mail server. A relay behind it may send from others.
func (c *check) evaluateSPF(ctx context.Context, record string) {
	quoted := fmt.Sprintf("%q", record)
	if strings.HasSuffix(record, "+all") || strings.HasSuffix(record, " all") {
		c.report.add("spf", Warning, quoted+" allows everybody to send", "End it with -all or ~all.")
		return
	}
	addresses, err := c.Resolver.LookupIPAddr(ctx, c.SMTP.Host)
	if err != nil || c.SMTP.Host == "" {
		c.report.add("spf", Warning, quoted+"; the address of the mail server is not known", "")
		return
	}
	for _, a := range addresses {
		if a.IP.IsLoopback() || a.IP.IsPrivate() {
			c.report.add("spf", OK, quoted+"; the mail server is on a private address, so where it sends from cannot be told", "")
			return
		}
		result, err := spf.CheckHostWithSender(a.IP, c.SMTP.Host, "weft@"+c.envelope, spf.WithContext(ctx), spf.WithResolver(c.Resolver))
		switch result {
		case spf.Pass:
		case spf.PermError, spf.TempError:
			c.spf = fails
			c.report.add("spf", Failed, fmt.Sprintf("%s cannot be evaluated: %v", quoted, err), "Correct the record: at most ten lookups (RFC 7208 §4.6.4).")
			return
		default:
			c.report.add("spf", Warning, fmt.Sprintf("%s does not allow %s, an address of %s (%s)", quoted, a.IP, c.SMTP.Host, result),
				"Add the server to the record, unless it passes mail on to servers that the record allows.")
			return
		}
	}
	c.spf = passes
	c.report.add("spf", OK, quoted+" allows "+c.SMTP.Host, "")
}

// checkDKIM checks that DNS has the public key of the signatures (RFC 6376 §3.6).
func (c *check) checkDKIM(ctx context.Context) {
	if c.Provider.Name() != providers.NameSMTP {
		c.report.add("dkim", Skipped, c.Provider.Name()+" signs with keys of its own", "Check there that "+c.domain+" is authenticated.")
		return
	}
	if c.DKIM == nil {
		c.report.add("dkim", Warning, "weft does not sign mail; the mail server must", "Set notification.dkim unless the mail server signs.")
		return
	}
	want, err := c.DKIM.Record()
	if err != nil {
		c.report.add("dkim", Failed, err.Error(), "")
		return
	}
	name := c.DKIM.Selector + "._domainkey." + c.DKIM.Domain
	all, err := c.Resolver.LookupTXT(ctx, name)
	hint := "Add TXT " + name + ": " + fmt.Sprintf("%q", want)
	switch {
	case err != nil && !notFound(err):
		c.report.add("dkim", Failed, "looking up TXT of "+name+": "+err.Error(), "Try again, or name another resolver.")
	case len(all) == 0:
		c.dkim = fails
		c.report.add("dkim", Failed, name+" has no record", hint)
	case len(all) > 1:
		c.dkim = fails
		c.report.add("dkim", Failed, name+" has more than one record, of which any may be taken", "Leave the right one.")
	case tags(all[0])["p"] == "":
		c.dkim = fails
		c.report.add("dkim", Failed, name+" says that the key is revoked", hint)
	case tags(all[0])["p"] != tags(want)["p"] || kind(all[0]) != kind(want):
		c.dkim = fails
		c.report.add("dkim", Failed, name+" has the public key of another private key", hint)
	default:
		c.dkim = passes
		detail, hint := name+" has the key ("+kind(want)+")", ""
		status := OK
		if kind(want) == "ed25519" {
			status, hint = Warning, "Gmail and Outlook verify rsa-sha256 alone: use an RSA key."
		}
		if strings.Contains(";"+strings.ReplaceAll(all[0], " ", "")+";", ";t=y") {
			status, hint = Warning, "t=y says that the domain only tests DKIM: remove it."
		}
		c.report.add("dkim", status, detail, hint)
	}
}

// tags returns the tags of a record (RFC 6376 §3.2), without white space in values.
func tags(record string) map[string]string {
	found := map[string]string{}
	for part := range strings.SplitSeq(record, ";") {
		if name, value, ok := strings.Cut(part, "="); ok {
			found[strings.TrimSpace(name)] = strings.Join(strings.Fields(value), "")
		}
	}
	return found
}

// kind returns the type of key of a record, rsa unless it says.
func kind(record string) string {
	if k := tags(record)["k"]; k != "" {
		return k
	}
	return "rsa"
}

// checkDMARC checks the policy of the sender's domain (RFC 7489 §6.6.3), and whether what passes is aligned with it (§3.1).
func (c *check) checkDMARC(ctx context.Context) {
	name := "_dmarc." + c.domain
	records, ok := c.txt(ctx, "dmarc", name, "v=dmarc1")
	if ok && len(records) == 0 && organization(c.domain) != c.domain {
		name = "_dmarc." + organization(c.domain)
		records, ok = c.txt(ctx, "dmarc", name, "v=dmarc1")
	}
	policy := &dmarc.Record{}
	switch {
	case !ok:
		return
	case len(records) == 0:
		c.report.add("dmarc", Failed, c.domain+" has no DMARC record: Gmail, Yahoo and Outlook refuse bulk mail without one",
			"Add TXT _dmarc."+organization(c.domain)+`: "v=DMARC1; p=none; rua=mailto:dmarc@`+organization(c.domain)+`"`)
	case len(records) > 1:
		c.report.add("dmarc", Failed, fmt.Sprintf("%s has %d records, so that none counts (RFC 7489 §6.6.3)", name, len(records)), "Leave one.")
		return
	default:
		parsed, err := dmarc.Parse(records[0])
		if err != nil {
			c.report.add("dmarc", Failed, fmt.Sprintf("%q cannot be read: %v", records[0], err), "Correct the record.")
			return
		}
		policy = parsed
		status, hint := OK, ""
		if policy.Policy == dmarc.PolicyNone {
			hint = "Once the reports show that all your mail passes, set p=quarantine or p=reject."
		}
		c.report.add("dmarc", status, fmt.Sprintf("%s: %q", name, records[0]), hint)
	}
	c.checkAlignment(policy)
}

// checkAlignment says whether a message passes DMARC: SPF or DKIM must pass for a domain that is aligned with the sender's.
func (c *check) checkAlignment(policy *dmarc.Record) {
	if c.Provider.Name() != providers.NameSMTP {
		c.report.add("alignment", Skipped, "it depends on how "+c.domain+" is set up at "+c.Provider.Name(), "")
		return
	}
	bySPF := c.spf == passes && aligned(c.envelope, c.domain, policy.SPFAlignment)
	byDKIM := c.dkim == passes && aligned(c.DKIM.Domain, c.domain, policy.DKIMAlignment)
	switch {
	case byDKIM && bySPF:
		c.report.add("alignment", OK, "SPF and DKIM pass and are aligned with "+c.domain, "")
	case byDKIM:
		c.report.add("alignment", OK, "DKIM passes and is aligned with "+c.domain, "")
	case bySPF:
		c.report.add("alignment", Warning, "SPF alone is aligned with "+c.domain+": forwarded mail fails", "Sign with DKIM.")
	case c.spf == unknown && c.dkim == unknown:
		c.report.add("alignment", Skipped, "neither SPF nor DKIM could be told from here", "Send a test message and look at its Authentication-Results.")
	default:
		c.report.add("alignment", Failed, "neither SPF nor DKIM passes for a domain that is aligned with "+c.domain, "Correct DKIM first.")
	}
}

// aligned tells whether two domains are aligned (RFC 7489 §3.1.1).
func aligned(domain, sender string, mode dmarc.AlignmentMode) bool {
	domain = strings.ToLower(domain)
	if mode == dmarc.AlignmentStrict {
		return domain == sender
	}
	return organization(domain) == organization(sender)
}
