package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/spf13/cobra"

	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

func replayCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "replay SEQ",
		Short: "Publish a dead letter again",
		Long: "Publishes the job or event of a dead letter again, as the actor that published it first. SEQ is the letter's sequence in the " +
			"stream DEAD (nats stream view DEAD). Every actor that processes such a message gets it again, and recognises one that it has " +
			"processed. The letter stays in the stream.\n\nIt needs the keys of the NATS users `operator` and of that actor.",
		Example: "  weft replay 12\n  weft replay 12 --nats nats://127.0.0.1:4222 --keys ./nats/keys",
		Args:    oneArgument("SEQ"),
		RunE: func(cmd *cobra.Command, args []string) error {
			sequence, err := strconv.ParseUint(args[0], 10, 64)
			if err != nil || sequence == 0 {
				return usageError{fmt.Errorf("SEQ is %q, and must be a sequence of the stream %s", args[0], subjects.Dead.Name)}
			}
			config, err := commandConfig(cmd)
			if err != nil {
				return err
			}
			p, err := newProcess(cmd.Context(), config, "replay", cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			defer p.close()
			return p.replay(cmd.Context(), sequence, cmd.OutOrStdout())
		},
	}
	addNATSFlags(cmd)
	addDataFlag(cmd)
	return cmd
}

// replay publishes the message of a dead letter again, as its author.
func (p *process) replay(ctx context.Context, sequence uint64, out io.Writer) error {
	letter, err := p.deadLetter(ctx, sequence)
	if err != nil {
		return err
	}
	author := mesh.StreamAuthor(letter.Subject)
	if author == "" {
		return fmt.Errorf("the dead letter's subject %q belongs to no stream", letter.Subject)
	}
	conn, err := p.connect(ctx, author)
	if err != nil {
		return err
	}
	defer conn.Close()
	ack, err := conn.JS.PublishMsg(ctx, &nats.Msg{Subject: letter.Subject, Data: letter.Data})
	if err != nil {
		return fmt.Errorf("publishing on %s: %w", letter.Subject, err)
	}
	_, err = fmt.Fprintf(out, "Published %s again, as %s of %s.\n", letter.Subject, strconv.FormatUint(ack.Sequence, 10), ack.Stream)
	return err
}

// deadLetter reads a dead letter that an actor has written.
func (p *process) deadLetter(ctx context.Context, sequence uint64) (letter subjects.DeadLetter, err error) {
	conn, err := p.connect(ctx, mesh.UserOperator)
	if err != nil {
		return letter, err
	}
	defer conn.Close()
	stream, err := conn.JS.Stream(ctx, subjects.Dead.Name)
	if err != nil {
		return letter, fmt.Errorf("opening the stream %s: %w", subjects.Dead.Name, err)
	}
	message, err := stream.GetMsg(ctx, sequence)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return letter, fmt.Errorf("the stream %s has no message %d", subjects.Dead.Name, sequence)
	}
	if err != nil {
		return letter, fmt.Errorf("reading a dead letter: %w", err)
	}
	if err := conn.JS.VerifyStored(message.Subject, message.Header, message.Data, message.Time); err != nil {
		return letter, fmt.Errorf("message %d of %s: %w", sequence, subjects.Dead.Name, err)
	}
	if err := json.Unmarshal(message.Data, &letter); err != nil {
		return letter, fmt.Errorf("decoding a dead letter: %w", err)
	}
	return letter, nil
}
