package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/spf13/cobra"

	"github.com/weftmesh/weft/mesh/embedded"
)

func natsReloadCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "nats-reload",
		Short: "Make the NATS servers load their changed files",
		Long: "Makes every server of a NATS cluster reload its configuration, and then close its leaf connections: a server that reloads disconnects " +
			"revoked extensions by itself, but not revoked edge nodes. Edge nodes that are still enrolled connect again at once. Use it after the folders " +
			"of servers were copied to their machines. `weft edge revoke` and `weft extension revoke` do the same where the folders are.\n\n" +
			"It names servers whose configuration is not that of a folder in --server-dir. It needs the NATS key of the user `sys`. The servers of `weft up` " +
			"load their files by themselves.",
		Example: "  weft nats-reload --config cluster/weft.yaml --server-dir cluster/a,cluster/b,cluster/c",
		Args:    noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			e, err := newEnrollment(cmd)
			if err != nil {
				return err
			}
			defer e.close()
			sys, reached, err := e.reach()
			if err != nil || !reached {
				return err
			}
			if sys == nil {
				_, err = fmt.Fprintln(e.out, "The servers are weft's own and load their files by themselves.")
				return err
			}
			defer sys.Close()
			ctx, cancel := context.WithTimeout(cmd.Context(), reloadWithin)
			defer cancel()
			return e.reload(ctx, sys, true)
		},
	}
	addServerFlags(cmd)
	return cmd
}

// foundWithin is how long servers have to answer that they exist, after the last one that did; moreWithin the same once all servers have
// answered that those who did know of, because one that has just started may not know the others.
const (
	foundWithin = time.Second
	moreWithin  = 100 * time.Millisecond
)

// natsServer is a running NATS server, as the system account addresses it.
type natsServer struct{ ID, Name string }

// reload makes every NATS server that answers load its files again and, with cut, close the leaf connections that it has accepted. A reload
// does not disconnect leaf connections of removed users. Which of them a removed user has is not known, since the servers report no keys and
// an edge node may take any name, so that all are closed.
func (e *enrollment) reload(ctx context.Context, sys *nats.Conn, cut bool) error {
	servers, err := natsServers(sys)
	if err != nil {
		return err
	}
	digests, err := digestsOf(e.dirs)
	if err != nil {
		return err
	}
	var errs []error
	var other []string
	for _, s := range servers {
		loaded, err := s.reload(ctx, sys)
		if err == nil && cut {
			err = s.closeLeaves(ctx, sys)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("the NATS server %s: %w", s.Name, err))
		} else if !slices.Contains(digests, loaded) {
			other = append(other, s.Name)
		}
	}
	if len(other) > 0 {
		_, err := fmt.Fprintf(e.out, "These NATS servers have other files than %s: %s. If they belong to it, copy each server's folder to its machine "+
			"and run weft nats-reload.\n",
			strings.Join(e.dirs, ", "), strings.Join(other, ", "))
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// digestsOf returns what servers report that have loaded the files of the folders.
func digestsOf(dirs []string) ([]string, error) {
	digests := make([]string, 0, len(dirs))
	for _, dir := range dirs {
		digest, err := embedded.ConfigDigest(dir)
		if err != nil {
			return nil, err
		}
		digests = append(digests, digest)
	}
	return digests, nil
}

// natsServers lists the servers that answer.
func natsServers(sys *nats.Conn) ([]natsServer, error) {
	inbox := sys.NewInbox()
	sub, err := sys.SubscribeSync(inbox)
	if err != nil {
		return nil, fmt.Errorf("listing the NATS servers: %w", err)
	}
	defer func() { _ = sub.Unsubscribe() }()
	if err := sys.PublishRequest("$SYS.REQ.SERVER.PING", inbox, nil); err != nil {
		return nil, fmt.Errorf("listing the NATS servers: %w", err)
	}
	var list []natsServer
	active, within := 1, foundWithin
	for {
		msg, err := sub.NextMsg(within)
		if errors.Is(err, nats.ErrTimeout) {
			return list, nil
		}
		if err != nil {
			return nil, fmt.Errorf("listing the NATS servers: %w", err)
		}
		var found struct {
			Server natsServer `json:"server"`
			State  struct {
				Active int `json:"active_servers"`
			} `json:"statsz"`
		}
		if err := json.Unmarshal(msg.Data, &found); err != nil {
			return nil, fmt.Errorf("listing the NATS servers: %w", err)
		}
		list = append(list, found.Server)
		if active, within = max(active, found.State.Active), foundWithin; len(list) >= active {
			within = moreWithin
		}
	}
}

// reload makes the server load its files and returns the digest of the configuration that it has then.
func (s natsServer) reload(ctx context.Context, sys *nats.Conn) (digest string, err error) {
	if err := s.request(ctx, sys, "RELOAD", nil, nil); err != nil {
		return "", err
	}
	var state struct {
		Digest string `json:"config_digest"`
	}
	return state.Digest, s.request(ctx, sys, "VARZ", nil, &state)
}

// closeLeaves closes the leaf connections that the server has accepted, not those that it has dialled.
func (s natsServer) closeLeaves(ctx context.Context, sys *nats.Conn) error {
	var leaves struct {
		Leafs []struct {
			ID      uint64 `json:"id"`
			IsSpoke bool   `json:"is_spoke"`
		} `json:"leafs"`
	}
	if err := s.request(ctx, sys, "LEAFZ", nil, &leaves); err != nil {
		return err
	}
	for _, leaf := range leaves.Leafs {
		if leaf.IsSpoke {
			continue
		}
		err := s.request(ctx, sys, "KICK", map[string]uint64{"cid": leaf.ID}, nil)
		var refused serverError
		if err != nil && !errors.As(err, &refused) { // a connection that has ended meanwhile is refused
			return err
		}
	}
	return nil
}

// serverError is an error that a NATS server has answered.
type serverError string

func (e serverError) Error() string { return string(e) }

// request makes a request of the system account to the server and decodes the answer's data into result, unless that is nil.
func (s natsServer) request(ctx context.Context, sys *nats.Conn, what string, body, result any) error {
	var data []byte
	var err error
	if body != nil {
		if data, err = json.Marshal(body); err != nil {
			return fmt.Errorf("encoding %s: %w", what, err)
		}
	}
	msg, err := sys.RequestWithContext(ctx, "$SYS.REQ.SERVER."+s.ID+"."+what, data)
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	var answer struct {
		Error *struct{ Description string } `json:"error"`
		Data  json.RawMessage               `json:"data"`
	}
	if err := json.Unmarshal(msg.Data, &answer); err != nil {
		return fmt.Errorf("decoding the answer to %s: %w", what, err)
	}
	if answer.Error != nil {
		return fmt.Errorf("%s: %w", what, serverError(answer.Error.Description))
	}
	if result == nil {
		return nil
	}
	if err := json.Unmarshal(answer.Data, result); err != nil {
		return fmt.Errorf("decoding the answer to %s: %w", what, err)
	}
	return nil
}
