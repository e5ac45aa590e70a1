package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/mesh/embedded"
)

func natsInitCommand() *cobra.Command {
	var options embedded.Options
	var cluster clusterFlags
	var listen string
	cmd := &cobra.Command{
		Use:   "nats-init DIR",
		Short: "Write the configuration and keys of a NATS server, or of a cluster, for weft",
		Long: "Writes nats.conf, the local.conf that it includes (public keys, address, directory, sync) and the users' private keys " +
			"(keys/<user>.nk, mode 0600) into DIR. Existing keys are kept. Afterwards run: nats-server -c DIR/nats.conf, " +
			"weft migrate --keys DIR/keys, weft run --keys DIR/keys …\n\n" + clusterHelp,
		Example: "  weft nats-init ./nats\n  nats-server -c ./nats/nats.conf\n" + clusterExamples,
		Args:    oneArgument("DIR"),
		RunE: func(cmd *cobra.Command, args []string) error {
			dir, err := filepath.Abs(args[0])
			if err != nil {
				return fmt.Errorf("resolving the directory: %w", err)
			}
			if cmd.Flags().Changed("cluster") {
				return cluster.init(cmd, dir, options)
			}
			if err := cluster.unused(cmd); err != nil {
				return err
			}
			if listen == "" {
				config, err := baseConfig(cmd)
				if err != nil {
					return err
				}
				listen = config.NATS.Listen
			}
			if options.Host, options.Port, err = serverAddress(listen); err != nil {
				return err
			}
			if options.Leaf, err = leafAddress(options.Leaf); err != nil {
				return err
			}
			if _, err := embedded.Init(dir, options); err != nil {
				return fmt.Errorf("writing the NATS configuration: %w", err)
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "Wrote %s. Start the server with:\n  nats-server -c %s\n",
				dir, filepath.Join(dir, "nats.conf"))
			return err
		},
	}
	cmd.Flags().StringVar(&listen, "listen", "", "address that the server listens on; port 0 picks a free port (default nats.listen, 127.0.0.1:4222)")
	cmd.Flags().StringVar(&options.Store, "store", "", "JetStream's storage directory (default DIR/jetstream)")
	cmd.Flags().StringVar(&options.Monitor, "monitor", "", "address of the HTTP monitoring port, such as 127.0.0.1:8222; empty disables it")
	cmd.Flags().StringVar(&options.Leaf, "leaf", "", "address for leaf connections of edge nodes, such as 0.0.0.0:7422 (default none)")
	cmd.Flags().StringVar(&options.Sync, "durability", embedded.SyncAlways, "when writes are synced to disk: always (each one) or interval")
	cluster.add(cmd)
	return cmd
}

func natsContextCommand() *cobra.Command {
	var name, url, keys, data, user string
	var selectIt bool
	cmd := &cobra.Command{
		Use:   "nats-context",
		Short: "Configure the nats CLI to connect as weft's operator",
		Long: "Writes a context of the nats CLI that connects as the user `operator`, and selects it. Commands such as " +
			"nats micro ls, nats micro info auth, nats req weft.v1.auth.login …, nats kv ls and nats stream ls then work.\n\n" +
			"With --user backup the context is for nats stream backup and nats account backup, and for nothing else. It has a secret, as the key has.",
		Example: "  weft nats-context --data ./weft-data\n  weft nats-context --nats nats://nats.internal:4222 --keys ./nats/keys --name prod\n" +
			"  weft nats-context --user backup --name weft-backup --select=false",
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			config, err := baseConfig(cmd)
			if err != nil {
				return err
			}
			if data == "" {
				data = config.Data
			}
			if keys == "" {
				keys = filepath.Join(data, "nats", "keys")
			}
			if known := embedded.URL(filepath.Dir(keys)); url == "" && config.NATS.URL == defaultConfig().NATS.URL {
				url = known // the server whose configuration is beside the keys
			}
			url = cmp.Or(url, config.NATS.URL)
			if user != mesh.UserOperator && user != mesh.UserBackup {
				return usageError{fmt.Errorf("--user is %q, want %s or %s", user, mesh.UserOperator, mesh.UserBackup)}
			}
			file, err := writeNATSContext(name, url, keys, user, natsTLS(config.NATS.TLS, keys), selectIt)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "Wrote %s. Try: nats micro ls\n", file)
			return err
		},
	}
	cmd.Flags().StringVar(&name, "name", "weft", "name of the context")
	cmd.Flags().StringVar(&url, "nats", "", "URL of the NATS server (default the one configured beside the keys, else nats://127.0.0.1:4222)")
	cmd.Flags().StringVar(&keys, "keys", "", "directory of the NATS users' seeds (default <data>/nats/keys)")
	cmd.Flags().StringVar(&data, "data", "", "weft's data directory (default weft-data)")
	cmd.Flags().StringVar(&user, "user", mesh.UserOperator, "NATS user: operator or backup")
	cmd.Flags().BoolVar(&selectIt, "select", true, "select the context in the nats CLI")
	return cmd
}

// writeNATSContext writes a context to the nats CLI's directory, <config>/nats/context/<name>.json, and returns the file.
func writeNATSContext(name, url, keys, user string, files mesh.TLSFiles, selectIt bool) (string, error) {
	seed, err := filepath.Abs(filepath.Join(keys, user+".nk"))
	if err != nil {
		return "", fmt.Errorf("resolving the directory of keys: %w", err)
	}
	secret, err := os.ReadFile(seed)
	if err != nil {
		return "", fmt.Errorf("the %s's key is missing; `weft up` and `weft nats-init` create it: %w", user, err)
	}
	// The nats CLI uses XDG_CONFIG_HOME, or else ~/.config, on every operating system.
	config := os.Getenv("XDG_CONFIG_HOME")
	if config == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			return "", fmt.Errorf("finding the home directory: %w", err)
		}
		config = filepath.Join(home, ".config")
	}
	dir := filepath.Join(config, "nats", "context")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", fmt.Errorf("creating the directory of contexts: %w", err)
	}
	settings := map[string]string{"description": "weft's " + user, "url": url, "nkey": seed, "inbox_prefix": mesh.InboxPrefix(user)}
	if user == mesh.UserBackup { // its requests are privileged
		if settings["jetstream_api_prefix"], err = mesh.PrivilegedPrefix(bytes.TrimSpace(secret)); err != nil {
			return "", err
		}
	}
	for key, file := range map[string]string{"ca": files.CA, "cert": files.Cert, "key": files.Key} {
		if file == "" {
			continue
		}
		if settings[key], err = filepath.Abs(file); err != nil {
			return "", fmt.Errorf("resolving the directory of certificates: %w", err)
		}
	}
	content, err := json.MarshalIndent(settings, "", "  ")
	if err != nil {
		return "", fmt.Errorf("encoding the context: %w", err)
	}
	file := filepath.Join(dir, name+".json")
	if err := os.WriteFile(file, content, 0o600); err != nil {
		return "", fmt.Errorf("writing the context: %w", err)
	}
	if selectIt {
		if err := os.WriteFile(filepath.Join(config, "nats", "context.txt"), []byte(name), 0o600); err != nil {
			return "", fmt.Errorf("selecting the context: %w", err)
		}
	}
	return file, nil
}
