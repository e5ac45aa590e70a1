package main

import (
	"cmp"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

func healthCommand() *cobra.Command {
	var names []string
	cmd := &cobra.Command{
		Use:   "health [URL]",
		Short: "Check whether a running weft is ready",
		Long: "Requests /readyz and prints the response. It serves as a container's health check.\n\n" +
			"Without a URL it asks the gateway at the address of gateway.listen, over TLS if gateway.tls_cert is set. With --actors it " +
			"asks the process that `weft run` started with the same --actors, at its metrics port. These addresses are of this machine, " +
			"so the name in the certificate is not checked; that of a URL is.\n\n" +
			"Exit codes: 0 ready, 1 not ready, 2 wrong usage.",
		Example: "  weft health\n  weft health --actors auth,consent\n  weft health https://weft.example\n  weft health http://127.0.0.1:9091",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 1 {
				return usageError{fmt.Errorf("%s takes at most one URL, got %q", cmd.CommandPath(), args)}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 1 {
				return checkHealth(cmd, args[0], false)
			}
			config, err := commandConfig(cmd)
			if err != nil {
				return err
			}
			if err := checkActors(names); err != nil {
				return err
			}
			address, err := config.healthURL(names)
			if err != nil {
				return err
			}
			return checkHealth(cmd, address, true)
		},
	}
	addActorsFlag(cmd, &names, nil, "ask the process that runs exactly these actors and no gateway")
	cmd.Flags().String("http", "", "address of the gateway (default 127.0.0.1:8080)")
	return cmd
}

// healthURL returns the base URL of the process that runs the gateway or, with names, that runs these actors only.
func (c Config) healthURL(names []string) (string, error) {
	if len(names) == 0 {
		return localURL(c.gatewayScheme(), "gateway.listen", c.Gateway.Listen)
	}
	if !c.Metrics.Enabled || c.Metrics.Port < 0 {
		return "", usageError{errors.New("metrics.enabled is off or metrics.port is -1, so that the address is not known: give the URL that the process printed")}
	}
	port := cmp.Or(c.Metrics.Port, metricsPort(names, false))
	return localURL("http", "metrics.port", net.JoinHostPort(c.Metrics.Host, strconv.Itoa(port)))
}

// localURL returns the URL at which a process of this machine reaches a listener.
func localURL(scheme, setting, address string) (string, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return "", usageError{fmt.Errorf("%s is %q, and must be host:port", setting, address)}
	}
	if port == "0" {
		return "", usageError{fmt.Errorf("%s has port 0, so that the port is not known: give the URL that the process printed", setting)}
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return scheme + "://" + net.JoinHostPort(host, port), nil
}

// checkHealth requests /readyz below a base URL and prints the response. local is whether the address is this machine's own.
func checkHealth(cmd *cobra.Command, base string, local bool) error {
	parsed, err := url.Parse(base)
	if err != nil || parsed.Host == "" || parsed.Scheme != "http" && parsed.Scheme != "https" || parsed.User != nil {
		return usageError{errors.New("reading the URL: it must be an http or https URL without credentials, such as http://127.0.0.1:8080")}
	}
	base = strings.TrimSuffix(base, "/")
	request, err := http.NewRequestWithContext(cmd.Context(), http.MethodGet, base+"/readyz", http.NoBody)
	if err != nil {
		return usageError{fmt.Errorf("reading the URL: %w", err)}
	}
	// A certificate for the public name does not have the address that this machine listens on, and a probe sends no secret.
	client := http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{
		TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: local}, //nolint:gosec // local only, see above
	}}
	response, err := client.Do(request)
	if err != nil {
		return fmt.Errorf("checking %s: %w", base, err)
	}
	defer func() { _ = response.Body.Close() }()
	if _, err := io.Copy(cmd.OutOrStdout(), io.LimitReader(response.Body, 1<<20)); err != nil {
		return fmt.Errorf("reading the response: %w", err)
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("not ready: %s", response.Status)
	}
	return nil
}
