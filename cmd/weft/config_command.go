package main

import (
	"fmt"
	"io"
	"reflect"
	"strings"

	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v3"

	"github.com/weftmesh/weft/cmd/weft/settings"
	"github.com/weftmesh/weft/mesh"
)

func configCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "config",
		Short: "Check and print the effective configuration with secrets masked",
		Long: "Prints every setting with its meaning and effective value. The file of --config overrides the defaults, and environment " +
			"variables override the file. An invalid or unknown setting is an error; every section is checked as when weft starts. " +
			"docs/settings.md lists all settings.\n\nExit codes: 0 valid, 2 invalid.",
		Example: "  weft config\n  WEFT_AUTH_BCRYPT_COST=13 weft config --config weft.yaml\n" +
			"  weft config > weft.yaml   # a template of all settings",
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			config, err := baseConfig(cmd)
			if err != nil {
				return err
			}
			return printConfig(cmd.OutOrStdout(), config)
		},
	}
}

// printConfig writes the effective settings as YAML, with secrets masked.
func printConfig(w io.Writer, config Config) error {
	root, err := sectionNode(reflect.ValueOf(config.Config), "")
	if err != nil {
		return fmt.Errorf("encoding the settings: %w", err)
	}
	encoder := yaml.NewEncoder(w)
	encoder.SetIndent(2)
	return encoder.Encode(root)
}

// sectionNode encodes a struct or map of settings with a comment for each.
func sectionNode(v reflect.Value, path string) (*yaml.Node, error) {
	node := &yaml.Node{Kind: yaml.MappingNode}
	add := func(key, path string, value reflect.Value) error {
		encoded, err := settingNode(value, path)
		if err != nil {
			return err
		}
		name := &yaml.Node{Kind: yaml.ScalarNode, Value: key, HeadComment: comment(settings.Describe(path))}
		node.Content = append(node.Content, name, encoded)
		return nil
	}
	if v.Kind() == reflect.Map {
		for _, key := range settings.SortedKeys(v) {
			if err := add(key, path+key, v.MapIndex(reflect.ValueOf(key))); err != nil {
				return nil, err
			}
		}
		return node, nil
	}
	for _, f := range reflect.VisibleFields(v.Type()) {
		if key, _, _ := strings.Cut(f.Tag.Get("koanf"), ","); key != "" && key != "-" {
			if err := add(key, path+key, v.FieldByIndex(f.Index)); err != nil {
				return nil, err
			}
		}
	}
	return node, nil
}

func settingNode(v reflect.Value, path string) (*yaml.Node, error) {
	if v.Kind() == reflect.Struct || v.Kind() == reflect.Map {
		return sectionNode(v, path+".")
	}
	value := v.Interface()
	if text, ok := value.(string); ok {
		value = mesh.MaskUserinfo(text)
	}
	node := &yaml.Node{}
	err := node.Encode(value)
	return node, err
}

// commentWidth is where the lines of a comment are broken.
const commentWidth = 100

// comment breaks a text into lines.
func comment(text string) string {
	var lines []string
	line := ""
	for word := range strings.FieldsSeq(text) {
		if line != "" && len(line)+len(word) >= commentWidth {
			lines = append(lines, line)
			line = ""
		}
		line = strings.TrimPrefix(line+" "+word, " ")
	}
	if line != "" {
		lines = append(lines, line)
	}
	return strings.Join(lines, "\n")
}
