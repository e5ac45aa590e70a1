package main

import (
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/cmd/weft/settings"
	"github.com/weftmesh/weft/mesh/pki"
)

// tlsFinding is what weft doctor tls has found out about one file.
type tlsFinding struct {
	// Status is ok, warning (a third of its life or less is left) or failed.
	Status  string `json:"status"`
	Setting string `json:"setting"`
	File    string `json:"file"`
	// Subject is the common name of the certificate, and Until its end.
	Subject string    `json:"subject,omitempty"`
	Until   time.Time `json:"until,omitzero"`
	Detail  string    `json:"detail"`
}

func doctorTLSCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "tls",
		Short: "Check the certificate files of all settings",
		Long: "Reads the files of nats.tls, those that weft nats-init --cluster has written beside the NATS users' keys, gateway.tls_cert, and sslrootcert and " +
			"sslcert of PostgreSQL's connection strings: whether they exist, whether keys match, and until when they are valid. It connects to nothing.\n\n" +
			"Exit codes: 0 nothing has failed, there may be warnings; 1 a file is unusable; 2 wrong usage or invalid settings.",
		Example: "  weft doctor tls --config weft.yaml\n  weft doctor tls --json | jq '.[] | select(.status != \"ok\")'",
		Args:    noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			config, err := baseConfig(cmd)
			if err != nil {
				return err
			}
			asJSON, err := cmd.Flags().GetBool("json")
			if err != nil {
				return err
			}
			found := checkTLS(config, time.Now())
			if asJSON {
				err = printJSON(cmd.OutOrStdout(), found)
			} else {
				err = printTLS(cmd.OutOrStdout(), found)
			}
			if err == nil && slices.ContainsFunc(found, func(f tlsFinding) bool { return f.Status == "failed" }) {
				err = errors.New("a certificate file is unusable: see the failed checks")
			}
			return err
		},
	}
	cmd.Flags().Bool("json", false, "print the findings as JSON")
	return cmd
}

// checkTLS reads the certificate files of all settings.
func checkTLS(c Config, now time.Time) []tlsFinding {
	files := c.NATS.TLS.Files()
	keys := c.NATS.Keys
	if keys == "" {
		keys = filepath.Join(c.Data, "nats", "keys")
	}
	used := natsTLS(c.NATS.TLS, keys)
	if c.NATS.TLS.CA == "" && used.CA != "" {
		files = append(files, settings.CertificateFile{Setting: "nats.keys", File: used.CA})
	}
	if c.NATS.TLS.Cert == "" && used.Cert != "" {
		files = append(files, settings.CertificateFile{Setting: "nats.keys", File: used.Cert, KeySetting: "nats.keys", Key: used.Key})
	}
	if c.Gateway.TLSCert != "" {
		files = append(files, settings.CertificateFile{Setting: "gateway.tls_cert", File: c.Gateway.TLSCert, KeySetting: "gateway.tls_key", Key: c.Gateway.TLSKey})
	}
	for setting, text := range c.databaseURLs() {
		root, cert, key := database.TLSFiles(text.Reveal())
		if root != "" {
			files = append(files, settings.CertificateFile{Setting: setting, File: root})
		}
		if cert != "" {
			files = append(files, settings.CertificateFile{Setting: setting, File: cert, KeySetting: setting, Key: key})
		}
	}
	found := make([]tlsFinding, 0, len(files))
	for _, f := range files {
		certificate, err := f.Read(now)
		found = append(found, tlsFindingOf(f, certificate, err, now))
	}
	slices.SortStableFunc(found, func(a, b tlsFinding) int { return strings.Compare(a.Setting, b.Setting) })
	return found
}

func tlsFindingOf(f settings.CertificateFile, c *x509.Certificate, err error, now time.Time) tlsFinding {
	finding := tlsFinding{Status: "ok", Setting: f.Setting, File: f.File}
	if err != nil {
		finding.Status, finding.Detail = "failed", err.Error()
		return finding
	}
	finding.Subject, finding.Until = c.Subject.CommonName, c.NotAfter.UTC()
	finding.Detail = fmt.Sprintf("%s, valid until %s, %d days", c.Subject.CommonName, finding.Until.Format(time.DateOnly), int(c.NotAfter.Sub(now).Hours()/24))
	if !now.Before(pki.RenewBefore(c)) {
		finding.Status = "warning"
		finding.Detail += ": renew it"
	}
	return finding
}

func printTLS(w io.Writer, found []tlsFinding) error {
	if len(found) == 0 {
		_, err := fmt.Fprintln(w, "No setting names a certificate file.")
		return err
	}
	table := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	for _, f := range found {
		if _, err := fmt.Fprintf(table, "%s\t%s\t%s\t%s\n", f.Status, f.Setting, f.File, f.Detail); err != nil {
			return err
		}
	}
	return table.Flush()
}
