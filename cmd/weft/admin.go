package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/actors/auth"
	"github.com/weftmesh/weft/subjects"
)

func adminCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "admin", Short: "What an operator does to accounts", Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() }}
	cmd.AddCommand(adminCreateCommand())
	return cmd
}

func adminCreateCommand() *cobra.Command {
	var request subjects.RegisterRequest
	cmd := &cobra.Command{
		Use:   "create EMAIL",
		Short: "Open an account with the role admin, or give an account that role",
		Long: "Reads the password from standard input, one line. An account that exists keeps its password if its address is " +
			"verified; one that is not becomes yours, with the password that you give. It works on the " +
			"database alone: beside a running weft on PostgreSQL, on SQLite while weft is stopped.",
		Example: "  weft admin create root@example.com < password.txt\n  weft admin create root@example.com --first-name Ada",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return usageError{errors.New("name the e-mail address: weft admin create EMAIL")}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			config, err := configOf(cmd)
			if err != nil {
				return err
			}
			overrideAddresses(cmd, &config)
			request.Email = args[0]
			if request.Password, err = readLine(cmd.InOrStdin()); err != nil {
				return err
			}
			given, err := createAdmin(cmd.Context(), config, request)
			if err != nil {
				return err
			}
			what := "has the role admin now; its password is as it was"
			if given {
				what = "has the role admin now, and the password that you gave"
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s %s\n", request.Email, what)
			return err
		},
	}
	cmd.Flags().StringVar(&request.FirstName, "first-name", "", "the account's first name")
	cmd.Flags().StringVar(&request.LastName, "last-name", "", "the account's last name")
	cmd.Flags().String("data", "", "weft's data folder (default weft-data)")
	return cmd
}

// readLine reads a password from the first line of standard input.
func readLine(in io.Reader) (string, error) {
	line, err := bufio.NewReader(in).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return "", fmt.Errorf("reading the password: %w", err)
	}
	line = strings.TrimRight(line, "\r\n")
	if line == "" {
		return "", usageError{errors.New("give the password on standard input")}
	}
	return line, nil
}

func createAdmin(ctx context.Context, config Config, request subjects.RegisterRequest) (given bool, err error) {
	message, err := json.Marshal(request) //nolint:gosec // it goes to the validator, not out
	if err != nil {
		return false, fmt.Errorf("encoding the account: %w", err)
	}
	if _, err := subjects.Register.Decode(message); err != nil {
		return false, usageError{err}
	}
	p, err := newProcess(ctx, config, "admin")
	if err != nil {
		return false, err
	}
	defer p.close()
	if err := p.migrateDatabase(ctx, "auth"); err != nil {
		return false, err
	}
	db, err := actors.OpenDatabase(ctx, p.database("auth"), p.telemetry.Log)
	if err != nil {
		return false, fmt.Errorf("opening the database of auth: %w", err)
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	sealer, err := actors.OpenSealer(p.keyset("auth"))
	if err != nil {
		return false, fmt.Errorf("opening the keyset of auth: %w", err)
	}
	return auth.CreateAdmin(ctx, actors.Deps{
		DB: db, Outbox: actors.NewOutbox(actors.OutboxConfig{DB: db, Log: p.telemetry.Log}), Sealer: sealer,
		Log: p.telemetry.Log, Now: time.Now, NewID: func() string { return uuid.Must(uuid.NewV7()).String() },
	}, config.Auth, request)
}
