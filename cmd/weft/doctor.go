package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/weftmesh/weft/actors/egress"
	"github.com/weftmesh/weft/actors/notification"
	"github.com/weftmesh/weft/actors/notification/mailcheck"
)

// doctorTimeout bounds all checks of weft doctor mail.
const doctorTimeout = 2 * time.Minute

func doctorMailCommand() *cobra.Command {
	var to, dns string
	cmd := &cobra.Command{
		Use:   "mail",
		Short: "Check whether mail from weft will be accepted",
		Long: "Looks up what DNS says about the sender's domain (SPF, DKIM, DMARC, MX), compares the DKIM record with the signing key, says " +
			"whether the sender is aligned, connects to the mail server as weft does, and shows its answers. With --to it also sends a test " +
			"message. Checks that depend on the set-up at SendGrid or SES are skipped.\n\n" +
			"The command needs the settings only: weft may be running or not.\n\n" +
			"Exit codes: 0 nothing has failed, there may be warnings; 1 a check has failed; 2 wrong usage or invalid settings.",
		Example: "  weft doctor mail\n  weft doctor mail --to me@example.org\n" +
			"  weft doctor mail --dns 1.1.1.1:53 --json | jq '.[].findings[] | select(.status == \"failed\")'",
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			config, err := baseConfig(cmd)
			if err != nil {
				return err
			}
			asJSON, err := cmd.Flags().GetBool("json")
			if err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), doctorTimeout)
			defer cancel()
			reports, err := checkMail(ctx, config, to, dns)
			if err != nil {
				return err
			}
			if asJSON {
				err = printJSON(cmd.OutOrStdout(), reports)
			} else {
				err = printMailReports(cmd.OutOrStdout(), reports)
			}
			for _, r := range reports {
				if r.Failed() && err == nil {
					err = errors.New("mail from " + r.From + " will not be accepted everywhere: see the failed checks")
				}
			}
			return err
		},
	}
	cmd.Flags().StringVar(&to, "to", "", "send a test message to this address")
	cmd.Flags().StringVar(&dns, "dns", "", "ask this DNS server, host:port, rather than the system's resolver")
	cmd.Flags().Bool("json", false, "print the reports, one for each provider, as JSON")
	return cmd
}

// checkMail makes the checks. dns is the address of a DNS server; empty for the system's resolver.
func checkMail(ctx context.Context, config Config, to, dns string) ([]*mailcheck.Report, error) {
	resolver := net.DefaultResolver
	if dns != "" {
		if _, _, err := net.SplitHostPort(dns); err != nil {
			return nil, usageError{fmt.Errorf("--dns: %q is not host:port", dns)}
		}
		resolver = &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, dns)
		}}
	}
	allow, err := parsePrefixes(config.Egress.Allow)
	if err != nil {
		return nil, usageError{err}
	}
	client, err := egress.New(egress.Options{Allow: allow, AllowHTTP: config.Egress.AllowHTTP})
	if err != nil {
		return nil, err
	}
	defer client.Close()
	id, err := uuid.NewV7()
	if err != nil {
		return nil, fmt.Errorf("making an id: %w", err)
	}
	reports, err := notification.CheckMail(ctx, config.notification(), client, mailcheck.Options{Resolver: resolver, To: to, ID: id.String(), Now: time.Now})
	if err != nil {
		return nil, usageError{err}
	}
	return reports, nil
}

// printMailReports prints reports for people: a line for each check, and what to do about it below.
func printMailReports(w io.Writer, reports []*mailcheck.Report) error {
	var errs []error
	line := func(format string, args ...any) {
		_, err := fmt.Fprintf(w, format+"\n", args...)
		errs = append(errs, err)
	}
	for _, r := range reports {
		line("%s, by %s", r.From, r.Provider)
		for _, f := range r.Findings {
			line("  %-8s %-13s %s", f.Status, f.Check, f.Detail)
			if f.Hint != "" {
				line("  %-8s %-13s -> %s", "", "", f.Hint)
			}
		}
		for i, said := range r.Dialogue {
			if i == 0 {
				line("\nThe mail server's answers:")
			}
			line("  %s", said)
		}
	}
	return errors.Join(errs...)
}
