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
		Short: "Check and print the effective configuration with secrets masked",
		Long: "Prints every setting with its effective value. The file of --config overrides the defaults, and environment variables " +
			"override the file. An invalid or unknown setting is an error.\n\nExit codes: 0 valid, 2 invalid.",
		Example: "  weft config\n  WEFT_AUTH_BCRYPT_COST=13 weft config --config weft.yaml\n" +
			"  weft config > weft.yaml   # a template of all settings",
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			config, err := baseConfig(cmd)
			if err != nil {
				return err
			}
			values, err := structs.Provider(config, "koanf").Read()
			if err != nil {
				return fmt.Errorf("collecting the settings: %w", err)
			}
			text, err := yaml.Marshal(values)
			if err != nil {
				return fmt.Errorf("encoding the settings: %w", err)
			}
			_, err = cmd.OutOrStdout().Write(text)
			return err
		},
	}
}
