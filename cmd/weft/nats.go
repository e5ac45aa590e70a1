package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/mesh/embedded"
)

// natsConf is the server configuration that both the embedded server and nats-init use. It equals the repository's nats.conf.
var natsConf = []byte(mesh.RenderConf())

func natsInitCommand() *cobra.Command {
	var options embedded.Options
	var listen string
	cmd := &cobra.Command{
		Use:   "nats-init DIR",
		Short: "Write what a NATS server of your own needs",
		Long: "Writes nats.conf, the local.conf that it includes (public keys, address, folder, sync) and the users' private keys " +
			"(keys/<user>.nk, mode 0600) into DIR. Keys that are there are kept. Then: nats-server -c DIR/nats.conf, " +
			"weft migrate --keys DIR/keys, weft run --keys DIR/keys …",
		Example: "  weft nats-init ./nats\n  nats-server -c ./nats/nats.conf",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return usageError{errors.New("name the folder: weft nats-init DIR")}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			dir, err := filepath.Abs(args[0])
			if err != nil {
				return fmt.Errorf("reading the folder's name: %w", err)
			}
			if options.Host, options.Port, err = serverAddress(listen); err != nil {
				return err
			}
			if _, err := embedded.Init(dir, natsConf, options); err != nil {
				return fmt.Errorf("writing the NATS configuration: %w", err)
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "Written to %s. Start the server with:\n  nats-server -c %s\n",
				dir, filepath.Join(dir, "nats.conf"))
			return err
		},
	}
	cmd.Flags().StringVar(&listen, "listen", "127.0.0.1:4222", "the server's address")
	cmd.Flags().StringVar(&options.Store, "store", "", "JetStream's folder (default DIR/jetstream)")
	cmd.Flags().StringVar(&options.Monitor, "monitor", "", "address of the HTTP monitoring port, such as 127.0.0.1:8222")
	cmd.Flags().StringVar(&options.Sync, "durability", embedded.SyncAlways, "always (sync every write) or interval")
	return cmd
}

func natsContextCommand() *cobra.Command {
	var name, url, keys, data string
	var choose bool
	cmd := &cobra.Command{
		Use:   "nats-context",
		Short: "Set the nats CLI up as weft's operator",
		Long: "Writes a context of the nats CLI that connects as the user `operator`, and selects it. Then these work: " +
			"nats micro ls, nats micro info auth, nats req weft.v1.auth.login …, nats kv ls, nats stream ls.",
		Example: "  weft nats-context --data ./weft-data\n  weft nats-context --nats nats://nats.internal:4222 --keys ./nats/keys --name prod",
		Args:    noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			config, err := configOf(cmd)
			if err != nil {
				return err
			}
			if data == "" {
				data = config.Data
			}
			if keys == "" {
				keys = filepath.Join(data, "nats", "keys")
			}
			if own := embedded.URL(filepath.Dir(keys)); url == "" && config.NATS.URL == DefaultConfig().NATS.URL {
				url = own // of the server that the keys are for, where it is known
			}
			url = cmp.Or(url, config.NATS.URL)
			file, err := writeNATSContext(name, url, keys, choose)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "Written to %s. Try: nats micro ls\n", file)
			return err
		},
	}
	cmd.Flags().StringVar(&name, "name", "weft", "the context's name")
	cmd.Flags().StringVar(&url, "nats", "", "URL of the NATS server (default the one beside the keys, else nats://127.0.0.1:4222)")
	cmd.Flags().StringVar(&keys, "keys", "", "folder of the NATS users' seeds (default <data>/nats/keys)")
	cmd.Flags().StringVar(&data, "data", "", "weft's data folder (default weft-data)")
	cmd.Flags().BoolVar(&choose, "select", true, "make it the nats CLI's selected context")
	return cmd
}

// writeNATSContext writes the file where the nats CLI looks: <config>/nats/context/<name>.json.
func writeNATSContext(name, url, keys string, choose bool) (string, error) {
	seed, err := filepath.Abs(filepath.Join(keys, "operator.nk"))
	if err != nil {
		return "", fmt.Errorf("reading the folder of keys: %w", err)
	}
	if _, err := os.Stat(seed); err != nil {
		return "", fmt.Errorf("the operator's key is not there (has weft run, or nats-init?): %w", err)
	}
	// The nats CLI follows XDG_CONFIG_HOME, or else ~/.config, on every system.
	config := os.Getenv("XDG_CONFIG_HOME")
	if config == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			return "", fmt.Errorf("finding the home folder: %w", err)
		}
		config = filepath.Join(home, ".config")
	}
	folder := filepath.Join(config, "nats", "context")
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return "", fmt.Errorf("making the folder of contexts: %w", err)
	}
	content, err := json.MarshalIndent(map[string]string{
		"description": "weft's operator", "url": url, "nkey": seed, "inbox_prefix": mesh.InboxPrefix("operator"),
	}, "", "  ")
	if err != nil {
		return "", fmt.Errorf("encoding the context: %w", err)
	}
	file := filepath.Join(folder, name+".json")
	if err := os.WriteFile(file, content, 0o600); err != nil {
		return "", fmt.Errorf("writing the context: %w", err)
	}
	if choose {
		if err := os.WriteFile(filepath.Join(config, "nats", "context.txt"), []byte(name), 0o600); err != nil {
			return "", fmt.Errorf("selecting the context: %w", err)
		}
	}
	return file, nil
}
