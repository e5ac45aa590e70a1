package main

import (
	"fmt"

	"github.com/knadh/koanf/providers/structs"
	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v3"
)

func configCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "config",
		Short: "Print the effective configuration, secrets masked",
		Long:  "Prints every setting with its effective value: the defaults, the file of --config, the environment, in that order.",
		Example: "  weft config\n  WEFT_AUTH_BCRYPT_COST=13 weft config --config weft.yaml\n" +
			"  weft config > weft.yaml   # a file to begin with",
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			config, err := configOf(cmd)
			if err != nil {
				return err
			}
			values, err := structs.Provider(config, "koanf").Read()
			if err != nil {
				return fmt.Errorf("reading the configuration: %w", err)
			}
			text, err := yaml.Marshal(values)
			if err != nil {
				return fmt.Errorf("writing the configuration: %w", err)
			}
			_, err = cmd.OutOrStdout().Write(text)
			return err
		},
	}
}
