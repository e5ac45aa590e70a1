package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/weftmesh/weft/actors/notification/mailcheck"
)

// checkTimeout bounds each check of weft doctor but mail, which has doctorTimeout.
const checkTimeout = 20 * time.Second

// finding is one thing that weft doctor has found out.
type finding struct {
	// Check is the name of the check, and Status ok, warning, failed or skipped.
	Check  string `json:"check"`
	Status string `json:"status"`
	Detail string `json:"detail"`
	// Mend says in one sentence what to do; empty if there is nothing to do.
	Mend string `json:"mend,omitempty"`
}

// doctor checks a deployment from this process's settings.
type doctor struct {
	p   *process
	now func() time.Time
	// check is the name of the check that runs, and found what all have found.
	check string
	found []finding
	// clocks are the clocks of servers that checks have read.
	clocks []clock
}

func (d *doctor) add(status, detail, mend string) {
	d.found = append(d.found, finding{d.check, status, detail, mend})
}

func (d *doctor) ok(format string, args ...any) {
	d.add(mailcheck.OK, fmt.Sprintf(format, args...), "")
}

// deploymentCheck is a check of weft doctor.
type deploymentCheck struct {
	name, short string
	run         func(*doctor, context.Context)
}

// deploymentChecks are in the order in which they run: clock compares what the ones before it have read.
func deploymentChecks() []deploymentCheck {
	return []deploymentCheck{
		{"settings", "Check that the settings are valid, and the memory limit", (*doctor).checkSettings},
		{"keys", "Check that only the owner can read keys and databases", (*doctor).checkKeys},
		{"disk", "Check the free space of the data folder", (*doctor).checkDisk},
		{"nats", "Check NATS: servers, users, permissions, streams, replicas", (*doctor).checkNATS},
		{"database", "Check the databases: settings of PostgreSQL, connections, migrations", (*doctor).checkDatabases},
		{"url", "Check that the public URL leads to weft", (*doctor).checkURL},
		{"clock", "Compare the clock with those of NATS, PostgreSQL and the public URL", (*doctor).checkClock},
		{"egress", "Check that requests to private addresses are refused", (*doctor).checkEgress},
		{"tls", "", (*doctor).checkTLSFiles},
		{"mail", "", (*doctor).checkMail},
	}
}

const doctorHelp = "Each finding is ok, warning, failed or skipped, with what to do about it. Nothing is created or changed. weft may be running or not; " +
	"what belongs to a server that does not answer is reported as failed.\n\n" +
	"Exit codes: 0 nothing has failed, there may be warnings; 1 a check has failed; 2 wrong usage or invalid settings."

func doctorCommand() *cobra.Command {
	var names []string
	cmd := &cobra.Command{
		Use: "doctor", Short: "Check a deployment and say what to do about what is wrong", Args: noArguments,
		Long: "Checks the deployment from the settings of this process: settings, keys, disk, nats, database, url, clock, egress, tls and mail. " +
			"`weft doctor CHECK` makes one of them.\n\n" + doctorHelp,
		Example: "  weft doctor --config weft.yaml\n  weft doctor nats --config weft.yaml\n  weft doctor --json | jq '.[] | select(.status == \"failed\")'",
		RunE:    func(cmd *cobra.Command, _ []string) error { return runDoctor(cmd, names) },
	}
	for _, c := range deploymentChecks() {
		names = append(names, c.name)
		if c.short == "" {
			continue // mail and tls have commands of their own
		}
		sub := &cobra.Command{
			Use: c.name, Short: c.short, Long: c.short + ".\n\n" + doctorHelp, Example: "  weft doctor " + c.name + " --config weft.yaml",
			Args: noArguments,
			RunE: func(cmd *cobra.Command, _ []string) error {
				wanted := []string{c.name}
				if c.name == "clock" { // reads the clocks that these read
					wanted = []string{"nats", "database", "url", "clock"}
				}
				return runDoctor(cmd, wanted, c.name)
			},
		}
		addDoctorFlags(sub)
		cmd.AddCommand(sub)
	}
	addDoctorFlags(cmd)
	cmd.AddCommand(doctorMailCommand(), doctorTLSCommand())
	return cmd
}

func addDoctorFlags(cmd *cobra.Command) {
	cmd.Flags().Bool("json", false, "print the findings as JSON")
	addNATSFlags(cmd)
	addDataFlag(cmd)
}

// runDoctor makes the named checks and prints the findings of those in shown; of all if shown is empty.
func runDoctor(cmd *cobra.Command, names []string, shown ...string) error {
	config, err := commandConfig(cmd)
	if err != nil {
		return err
	}
	asJSON, err := cmd.Flags().GetBool("json")
	if err != nil {
		return err
	}
	config.Tracing.OTLP = "" // a check is not part of any trace
	p, err := newProcess(cmd.Context(), config, "doctor", io.Discard)
	if err != nil {
		return usageError{err}
	}
	defer p.close()
	d := &doctor{p: p, now: time.Now}
	for _, c := range deploymentChecks() {
		if !slices.Contains(names, c.name) {
			continue
		}
		_, _ = fmt.Fprintf(cmd.ErrOrStderr(), "checking %s\n", c.name)
		d.make(cmd.Context(), c)
	}
	found := slices.DeleteFunc(d.found, func(f finding) bool { return len(shown) > 0 && !slices.Contains(shown, f.Check) })
	if asJSON {
		err = printJSON(cmd.OutOrStdout(), found)
	} else {
		err = printFindings(cmd.OutOrStdout(), found)
	}
	failed := 0
	for _, f := range found {
		if f.Status == mailcheck.Failed {
			failed++
		}
	}
	if err == nil && failed > 0 {
		err = fmt.Errorf("%d of %d findings are failures", failed, len(found))
	}
	return err
}

// make makes one check within its time.
func (d *doctor) make(ctx context.Context, c deploymentCheck) {
	limit := checkTimeout
	if c.name == "mail" {
		limit = doctorTimeout
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	d.check = c.name
	c.run(d, ctx)
}

// printFindings prints findings for people: a line for each, and what to do about it below.
func printFindings(w io.Writer, found []finding) error {
	var errs []error
	for _, f := range found {
		_, err := fmt.Fprintf(w, "%-8s %-9s %s\n", f.Status, f.Check, strings.ReplaceAll(f.Detail, "\n", "; "))
		if f.Mend != "" {
			_, mend := fmt.Fprintf(w, "%-8s %-9s -> %s\n", "", "", f.Mend)
			err = errors.Join(err, mend)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

func (d *doctor) checkTLSFiles(context.Context) {
	found := checkTLS(d.p.config, d.now())
	if len(found) == 0 {
		d.add(mailcheck.Skipped, "no setting names a certificate file", "")
	}
	for _, f := range found {
		mend := ""
		if f.Status != mailcheck.OK {
			mend = "Renew or replace the file that " + f.Setting + " names; those of a cluster with weft nats-init --cluster --renew."
		}
		d.add(f.Status, f.File+": "+f.Detail, mend)
	}
}

func (d *doctor) checkMail(ctx context.Context) {
	reports, err := checkMail(ctx, d.p.config, "", "")
	if err != nil {
		d.add(mailcheck.Failed, err.Error(), "Correct the settings of notification, see docs/mail.md.")
		return
	}
	if len(reports) == 0 {
		d.add(mailcheck.Skipped, "no provider of mail is set", "")
	}
	for _, r := range reports {
		for _, f := range r.Findings {
			d.add(f.Status, r.From+": "+f.Check+": "+f.Detail, f.Hint)
		}
	}
}
