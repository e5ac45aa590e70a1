package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/weftmesh/weft/actors/idempotency"
	"github.com/weftmesh/weft/actors/seal"
	"github.com/weftmesh/weft/subjects"
)

func keysCommand() *cobra.Command {
	return groupCommand("keys", "Manage the keys that seal secrets at rest", keysRotateCommand(), keysSecretsCommand())
}

// defaultSettle exceeds the longest call, after which no process writes a value that an older key has sealed.
const defaultSettle = 2 * time.Minute

func keysRotateCommand() *cobra.Command {
	var names []string
	var step bool
	var settle time.Duration
	cmd := &cobra.Command{
		Use:   "rotate",
		Short: "Seal the actors' secrets with new keys and retire the old keys",
		Long: "Adds a key to each actor's keyset file, makes it the one that seals, seals again what older keys have sealed, and removes " +
			"the older keys from the file once no sealed value needs them. A rotation that was interrupted continues when the command " +
			"runs again. On PostgreSQL the command may run beside weft, whose processes reload the file; on SQLite weft must be " +
			"stopped.\n\n" +
			"If several machines have copies of the file, run the command four times with --step (add a key; seal with it; record that the " +
			"file was copied; retire the old key) and copy the file to the other machines after each of the first two runs and the last.",
		Example: "  WEFT_DATABASE_URL=postgres://… weft keys rotate --actor integration\n  weft keys rotate --data /srv/weft",
		Args:    noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			config, err := commandConfig(cmd)
			if err != nil {
				return err
			}
			if err := checkActors(names); err != nil {
				return err
			}
			p, err := newProcess(cmd.Context(), config, "keys", cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			defer p.close()
			for _, name := range names {
				if err := p.rotateKeyset(cmd.Context(), name, step, settle, cmd.OutOrStdout()); err != nil {
					return fmt.Errorf("%s: %w", name, err)
				}
			}
			return nil
		},
	}
	cmd.Flags().StringSliceVar(&names, "actor", subjects.Actors(), "actors whose keys to rotate")
	completeActors(cmd, "actor")
	cmd.Flags().BoolVar(&step, "step", false, "perform only the next step of the rotation")
	cmd.Flags().DurationVar(&settle, "settle", defaultSettle, "how long other processes may still write values that an older key has sealed")
	addDataFlag(cmd)
	return cmd
}

// rotateKeyset rotates the keyset of one actor and reports each step to out.
func (p *process) rotateKeyset(ctx context.Context, name string, step bool, settle time.Duration, out io.Writer) (err error) {
	db, err := p.openDatabase(ctx, name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	return seal.Rotation{
		DB: db, KeysetFile: p.keyset(name), Sealed: append(actorTable[name].sealed, idempotency.Sealed), Step: step, Settle: settle, Now: time.Now,
		Say: func(line string) { _, _ = fmt.Fprintf(out, "%s: %s\n", name, line) },
	}.Run(ctx)
}
