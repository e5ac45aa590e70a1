package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/actors/auth"
)

func authCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "auth", Short: "What an operator does to sign-ins", Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() }}
	cmd.AddCommand(rotateKeysCommand())
	return cmd
}

func rotateKeysCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "rotate-keys",
		Short: "Have the next key sign access tokens, and retire the current one",
		Long: "Tokens that the retired key signed stay good until they end. It works on the database alone: beside a running weft " +
			"on PostgreSQL, where it takes effect within auth.key_reload; on SQLite while weft is stopped.",
		Example: "  WEFT_DATABASE_URL=postgres://… weft auth rotate-keys\n  weft auth rotate-keys --data /srv/weft",
		Args:    noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			config, err := configOf(cmd)
			if err != nil {
				return err
			}
			overrideAddresses(cmd, &config)
			keyID, err := rotateKeys(cmd.Context(), config)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s is the current key\n", keyID)
			return err
		},
	}
	cmd.Flags().String("data", "", "weft's data folder (default weft-data)")
	return cmd
}

func rotateKeys(ctx context.Context, config Config) (keyID string, err error) {
	p, err := newProcess(ctx, config, "auth")
	if err != nil {
		return "", err
	}
	defer p.close()
	if err := p.migrateDatabase(ctx, "auth"); err != nil {
		return "", err
	}
	db, err := actors.OpenDatabase(ctx, p.database("auth"), p.telemetry.Log)
	if err != nil {
		return "", fmt.Errorf("opening the database of auth: %w", err)
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	return auth.RotateKeys(ctx, actors.Deps{
		DB: db, Outbox: actors.NewOutbox(actors.OutboxConfig{DB: db, Log: p.telemetry.Log}),
		Log: p.telemetry.Log, Now: time.Now, NewID: func() string { return uuid.Must(uuid.NewV7()).String() },
	}, config.Auth)
}
