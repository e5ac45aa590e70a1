package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/weftmesh/weft/actors/auth"
)

func authCommand() *cobra.Command {
	return groupCommand("auth", "Manage the signing keys of access tokens", rotateSigningKeysCommand())
}

func rotateSigningKeysCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "rotate-keys",
		Short: "Make the next signing key current and retire the old one",
		Long: "Access tokens that the retired key has signed stay valid until they expire. The command changes the database directly: " +
			"on PostgreSQL it may run beside weft and takes effect within auth.key_reload, on SQLite weft must be stopped.",
		Example: "  WEFT_DATABASE_URL=postgres://… weft auth rotate-keys\n  weft auth rotate-keys --data /srv/weft",
		Args:    noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			config, err := commandConfig(cmd)
			if err != nil {
				return err
			}
			keyID, err := rotateSigningKeys(cmd.Context(), config)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s is the current key\n", keyID)
			return err
		},
	}
	addDataFlag(cmd)
	return cmd
}

func rotateSigningKeys(ctx context.Context, config Config) (keyID string, err error) {
	p, err := newProcess(ctx, config, "auth", os.Stderr)
	if err != nil {
		return "", err
	}
	defer p.close()
	db, err := p.openDatabase(ctx, "auth")
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	return auth.RotateKeys(ctx, p.offlineDeps(db), config.Auth)
}
