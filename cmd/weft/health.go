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
	cmd := &cobra.Command{
		Use:     "health [URL]",
		Short:   "Ask a running weft whether it is ready",
		Long:    "Asks /readyz of the gateway and prints the answer. Exit code 0 when ready, 1 when not: for a container's health check.",
		Example: "  weft health\n  weft health http://127.0.0.1:8080",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 1 {
				return usageError{fmt.Errorf("one URL at the most, got %q", args)}
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
			reply, err := client.Do(request)
			if err != nil {
				return fmt.Errorf("asking %s: %w", url, err)
			}
			defer func() { _ = reply.Body.Close() }()
			if _, err := io.Copy(cmd.OutOrStdout(), io.LimitReader(reply.Body, 1<<20)); err != nil {
				return fmt.Errorf("reading the answer: %w", err)
			}
			if reply.StatusCode != http.StatusOK {
				return fmt.Errorf("not ready: %s", reply.Status)
			}
			return nil
		},
	}
	return cmd
}
