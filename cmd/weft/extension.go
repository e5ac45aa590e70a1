package main

import (
	"cmp"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/weftmesh/weft/actors/integration/providers"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/mesh/embedded"
	"github.com/weftmesh/weft/subjects"
)

func extensionCommand() *cobra.Command {
	return groupCommand("extension", "Admit services of your own, whose endpoints are functions of workflows",
		extensionEnrollCommand(), enrolledListCommand(subjects.KindExtension, "extensions"),
		enrolledRevokeCommand(subjects.KindExtension, "Remove an extension; the server disconnects it",
			"Removes the NATS user of an extension. A running server disconnects it at once; calls in progress fail. The name can be enrolled "+
				"again, with another key.", "acme"))
}

func extensionEnrollCommand() *cobra.Command {
	var out string
	cmd := &cobra.Command{
		Use:   "enroll NAME",
		Short: "Admit an extension and write its NATS key",
		Long: "Makes a NATS user that may serve functions on weft.ext.v1.NAME.>, answer discovery as the service NAME, and publish events of its " +
			"own; it may do nothing else. Writes the user's nkey seed, which is stored nowhere else, to a new file. A running server admits the user " +
			"at once. On a cluster whose servers have their files on several machines, copy enrolled.json and nats.conf to each and reload them.",
		Example: "  weft extension enroll acme\n  weft extension enroll acme --server-dir ./nats --out /run/secrets/acme.nk",
		Args:    oneArgument("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			e, err := newEnrollment(cmd)
			if err != nil {
				return err
			}
			defer e.close()
			if _, err := providers.FS.Open(args[0] + ".yaml"); err == nil {
				return usageError{fmt.Errorf("%s is the id of a provider, whose actions workflows would call instead: choose another name", args[0])}
			}
			file := cmp.Or(out, args[0]+".nk")
			if _, err := os.Stat(file); err == nil {
				return usageError{fmt.Errorf("%s exists already: name another file with --out", file)}
			}
			user, seed, err := e.enroll(cmd.Context(), mesh.Enrolled{Kind: subjects.KindExtension, Name: args[0]})
			if seed == nil {
				return err
			}
			if err := writeSeed(file, seed); err != nil {
				return err
			}
			if err == nil {
				err = e.awaitAdmitted(cmd.Context(), user, seed)
			}
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(e.out, "Enrolled %s. Wrote its key to %s. Its functions are subjects %s, its inboxes are below %s.\n",
				args[0], file, subjects.FunctionsOf(args[0]), mesh.InboxPrefix(user.User()))
			return err
		},
	}
	cmd.Flags().StringVar(&out, "out", "", "file to write the key to (default NAME.nk)")
	addServerFlags(cmd)
	return cmd
}

// enrolledRevokeCommand removes an enrolled user of a kind. long is its description, example a name.
func enrolledRevokeCommand(kind, short, long, example string) *cobra.Command {
	cmd := &cobra.Command{
		Use: "revoke NAME", Short: short, Long: long, Example: "  weft " + kind + " revoke " + example, Args: oneArgument("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			e, err := newEnrollment(cmd)
			if err != nil {
				return err
			}
			defer e.close()
			if err := e.change(cmd.Context(), true, func(dir string) error { return embedded.Revoke(dir, kind, args[0]) }); err != nil {
				return err
			}
			_, err = fmt.Fprintf(e.out, "Revoked %s.\n", args[0])
			return err
		},
	}
	addServerFlags(cmd)
	return cmd
}

// enrolledListCommand lists the enrolled users of a kind.
func enrolledListCommand(kind, plural string) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "list",
		Short:   "List the enrolled " + plural,
		Long:    "Lists the enrolled " + plural + " of the NATS server in --server-dir: name, time of enrolment and public key.",
		Example: "  weft " + kind + " list\n  weft " + kind + " list --json",
		Args:    noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			e, err := newEnrollment(cmd)
			if err != nil {
				return err
			}
			defer e.close()
			users, err := embedded.LoadEnrolled(e.dirs[0])
			if err != nil {
				return err
			}
			found := []mesh.Enrolled{}
			for _, user := range users {
				if user.Kind == kind {
					found = append(found, user)
				}
			}
			if asJSON {
				return printJSON(e.out, found)
			}
			for _, user := range found {
				if _, err := fmt.Fprintf(e.out, "%-32s  %s  %s\n", user.Name, user.At.Format(time.RFC3339), user.Key); err != nil {
					return err
				}
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	addServerFlags(cmd)
	return cmd
}
