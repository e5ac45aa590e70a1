package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/actors/auth"
	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/actors/outbox"
	"github.com/weftmesh/weft/actors/seal"
	"github.com/weftmesh/weft/subjects"
)

func adminCommand() *cobra.Command {
	return groupCommand("admin", "Manage administrators", adminCreateCommand())
}

func adminCreateCommand() *cobra.Command {
	var request subjects.RegisterRequest
	cmd := &cobra.Command{
		Use:   "create EMAIL",
		Short: "Create an account with the role admin, or give the role to an existing account",
		Long: "Reads the password from the first line of standard input. An existing account keeps its password if its address is " +
			"verified. An unverified account is taken over: its address becomes verified and the given password replaces the old one. " +
			"The command changes the database directly: on PostgreSQL it may run beside weft, on SQLite weft must be stopped.",
		Example: "  weft admin create root@example.com < password.txt\n  weft admin create root@example.com --first-name Ada",
		Args:    oneArgument("EMAIL"),
		RunE: func(cmd *cobra.Command, args []string) error {
			config, err := commandConfig(cmd)
			if err != nil {
				return err
			}
			request.Email = args[0]
			if request.Password, err = readPassword(cmd.InOrStdin()); err != nil {
				return err
			}
			passwordSet, err := createAdmin(cmd.Context(), config, request)
			if err != nil {
				return err
			}
			what := "has the role admin now; its password is unchanged"
			if passwordSet {
				what = "has the role admin now, with the given password"
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s %s\n", request.Email, what)
			return err
		},
	}
	cmd.Flags().StringVar(&request.FirstName, "first-name", "", "first name of the account's owner")
	cmd.Flags().StringVar(&request.LastName, "last-name", "", "last name of the account's owner")
	addDataFlag(cmd)
	return cmd
}

// readPassword reads a password from the first line of standard input.
func readPassword(in io.Reader) (string, error) {
	line, err := bufio.NewReader(in).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return "", fmt.Errorf("reading the password: %w", err)
	}
	line = strings.TrimRight(line, "\r\n")
	if line == "" {
		return "", usageError{errors.New("standard input has no password on its first line")}
	}
	return line, nil
}

// createAdmin creates or promotes an account. passwordSet reports whether it now has the password of the request.
func createAdmin(ctx context.Context, config Config, request subjects.RegisterRequest) (passwordSet bool, err error) {
	message, err := json.Marshal(request) //nolint:gosec // the password goes to the validator only
	if err != nil {
		return false, fmt.Errorf("encoding the account: %w", err)
	}
	if _, err := subjects.Register.Decode(message); err != nil {
		return false, usageError{err}
	}
	p, err := newProcess(ctx, config, "admin", os.Stderr)
	if err != nil {
		return false, err
	}
	defer p.close()
	db, err := p.openDatabase(ctx, "auth")
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	sealer, err := seal.Open(p.keyset("auth"))
	if err != nil {
		return false, fmt.Errorf("opening the keyset of auth: %w", err)
	}
	deps := p.offlineDeps(db)
	deps.Sealer = sealer
	return auth.CreateAdmin(ctx, deps, config.Auth, request)
}

// offlineDeps are the dependencies of an actor's functions that need a database but no mesh. Events go to the outbox; weft
// publishes them when it runs.
func (p *process) offlineDeps(db *database.DB) actors.Deps {
	return actors.Deps{
		DB: db, Outbox: outbox.New(outbox.Config{DB: db, Log: p.telemetry.Log}),
		Log: p.telemetry.Log, Now: time.Now, NewID: func() string { return uuid.Must(uuid.NewV7()).String() },
	}
}
