package main

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/knadh/koanf/providers/confmap"
	"github.com/knadh/koanf/providers/structs"
	"github.com/knadh/koanf/v2"
	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v3"

	"github.com/weftmesh/weft/cmd/weft/settings"
)

// baseConfig loads the configuration from the file of --config and the environment. Its errors are usage errors.
func baseConfig(cmd *cobra.Command) (Config, error) {
	file, err := cmd.Flags().GetString("config")
	if err != nil {
		return Config{}, err
	}
	config, err := loadConfig(file, os.Environ())
	if err != nil {
		return Config{}, usageError{err}
	}
	return config, nil
}

// commandConfig is baseConfig with the settings that the command's flags override.
func commandConfig(cmd *cobra.Command) (Config, error) {
	config, err := baseConfig(cmd)
	if err != nil {
		return Config{}, err
	}
	overrideAddresses(cmd, &config)
	return config, nil
}

// overrideAddresses applies --data, --http, --keys, --leaf and --nats, where the command has them and they are given.
func overrideAddresses(cmd *cobra.Command, c *Config) {
	targets := map[string]*string{
		"data": &c.Data, "http": &c.Gateway.Listen, "keys": &c.NATS.Keys, "nats": &c.NATS.URL, "leaf": &c.NATS.LeafListen,
	}
	if cmd.Name() == "up" || cmd.Name() == "edge" {
		targets["nats"] = &c.NATS.Listen // the embedded server's address
	}
	for name, target := range targets {
		if f := cmd.Flags().Lookup(name); f != nil && f.Changed {
			*target = f.Value.String()
		}
	}
	// A gateway on a free port suggests several processes on one machine, which cannot share the default metrics port.
	if c.Metrics.Port == 0 && strings.HasSuffix(c.Gateway.Listen, ":0") {
		c.Metrics.Port = -1
	}
}

// loadConfig merges the defaults, the file (if one is named) and the environment, each overriding the one before, and
// checks the result. It reports unknown settings, else values that cannot be decoded, else invalid values, each with its line
// or variable.
func loadConfig(file string, environ []string) (Config, error) {
	k := koanf.New(".")
	defaults := defaultConfig()
	if err := k.Load(structs.Provider(defaults.Config, "koanf"), nil); err != nil {
		return Config{}, fmt.Errorf("reading the defaults: %w", err)
	}
	known := settings.KnownKeys()
	origins := origins{}
	if file != "" {
		values, err := readConfigFile(file, known, origins)
		if err != nil {
			return Config{}, err
		}
		if err := k.Load(confmap.Provider(values, "."), nil); err != nil {
			return Config{}, fmt.Errorf("reading %s: %w", file, err)
		}
	}
	values, err := known.FromEnvironment(environ, origins)
	if err != nil {
		return Config{}, err
	}
	if err := k.Load(confmap.Provider(values, "."), nil); err != nil {
		return Config{}, fmt.Errorf("reading the environment: %w", err)
	}
	var c Config
	if err := k.Unmarshal("", &c.Config); err != nil {
		return Config{}, origins.locate(decodeErrors(known, err))
	}
	return c, origins.locate(c.check())
}

// readConfigFile reads the settings of a YAML file by path and notes the line of each in origins. It reports every unknown and
// every repeated key.
func readConfigFile(file string, known settings.Keys, origins origins) (map[string]any, error) {
	text, err := os.ReadFile(filepath.Clean(file))
	if err != nil {
		return nil, fmt.Errorf("reading the configuration: %w", err)
	}
	var root yaml.Node
	if err := yaml.Unmarshal(text, &root); err != nil {
		return nil, fmt.Errorf("reading %s: %w", file, err)
	}
	reader := fileReader{file: file, known: known, values: map[string]any{}, origins: origins}
	if len(root.Content) > 0 {
		reader.section("", root.Content[0])
	}
	return reader.values, errors.Join(reader.errs...)
}

// fileReader collects the settings of a YAML document.
type fileReader struct {
	file    string
	known   settings.Keys
	values  map[string]any
	origins origins
	errs    []error
}

func (r *fileReader) fail(node *yaml.Node, format string, args ...any) {
	r.errs = append(r.errs, fmt.Errorf("%s:%d: %w", r.file, node.Line, fmt.Errorf(format, args...)))
}

// section reads a mapping whose path is prefix; the document's is "".
func (r *fileReader) section(prefix string, node *yaml.Node) {
	if node.Kind != yaml.MappingNode {
		r.fail(node, "%s must be a mapping", cmp.Or(prefix, "the document"))
		return
	}
	for i := 0; i+1 < len(node.Content); i += 2 {
		key, value := node.Content[i], node.Content[i+1]
		path := key.Value
		if prefix != "" {
			path = prefix + "." + key.Value
		}
		switch {
		case r.known.Section(path):
			r.section(path, value)
		case r.known.Leaf(path):
			r.setting(path, key, value)
		default:
			r.fail(key, "unknown setting %s", path)
		}
	}
}

func (r *fileReader) setting(path string, key, value *yaml.Node) {
	if _, repeated := r.values[path]; repeated {
		r.fail(key, "%s is set twice", path)
	}
	var v any
	if err := value.Decode(&v); err != nil {
		r.fail(value, "%s: %w", path, err)
	}
	r.values[path] = v
	r.origins[path] = fmt.Sprintf("%s:%d", r.file, value.Line)
}
