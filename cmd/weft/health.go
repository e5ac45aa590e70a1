package main

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

func healthCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "health [URL]",
		Short: "Check whether a running weft is ready",
		Long: "Requests /readyz of the gateway and prints the response. It serves as a container's health check.\n\n" +
			"Exit codes: 0 ready, 1 not ready.",
		Example: "  weft health\n  weft health http://127.0.0.1:8080",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 1 {
				return usageError{fmt.Errorf("%s takes at most one URL, got %q", cmd.CommandPath(), args)}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			url := "http://127.0.0.1:8080"
			if len(args) == 1 {
				url = strings.TrimSuffix(args[0], "/")
			}
			request, err := http.NewRequestWithContext(cmd.Context(), http.MethodGet, url+"/readyz", http.NoBody)
			if err != nil {
				return usageError{fmt.Errorf("reading the URL: %w", err)}
			}
			client := http.Client{Timeout: 5 * time.Second}
			response, err := client.Do(request)
			if err != nil {
				return fmt.Errorf("checking %s: %w", url, err)
			}
			defer func() { _ = response.Body.Close() }()
			if _, err := io.Copy(cmd.OutOrStdout(), io.LimitReader(response.Body, 1<<20)); err != nil {
				return fmt.Errorf("reading the response: %w", err)
			}
			if response.StatusCode != http.StatusOK {
				return fmt.Errorf("not ready: %s", response.Status)
			}
			return nil
		},
	}
}
