package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/actors/notification/mailcheck"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/mesh/embedded"
	"github.com/weftmesh/weft/subjects"
)

const (
	// connectWithin bounds an attempt to connect to one NATS server as one user.
	connectWithin = 2 * time.Second
	// leastPostgres is the oldest PostgreSQL that is maintained: 14 was until November 2026.
	leastPostgres = 15
	// splitProcesses is how many processes a deployment with one process for each actor and the gateway has.
	splitProcesses = 6
)

// checkNATS connects to each server, then as each user whose key is here, and compares the streams.
func (d *doctor) checkNATS(ctx context.Context) {
	if d.p.natsURL == defaultConfig().NATS.URL {
		if known := embedded.URL(filepath.Dir(d.p.keys)); known != "" {
			d.p.natsURL = known // the server whose configuration is beside the keys
		}
	}
	var users []string
	for _, user := range mesh.Users() {
		if _, err := os.Stat(filepath.Join(d.p.keys, user+".nk")); err == nil {
			users = append(users, user)
		}
	}
	if len(users) == 0 {
		d.add(mailcheck.Failed, "there is no key of a NATS user in "+d.p.keys, "Set nats.keys to the folder that weft nats-init has written, or start weft up once.")
		return
	}
	reached := d.checkServers(ctx, users[0])
	if reached == "" {
		return
	}
	d.p.natsURL = reached
	var refused []string
	for _, user := range users {
		if err := d.checkUser(ctx, user); err != nil {
			refused = append(refused, user)
			d.add(mailcheck.Failed, err.Error(), "Run weft nats-init again with the server's folder, reload the NATS server, and copy DIR/keys to this machine.")
		}
	}
	if len(refused) == 0 {
		d.ok("%d users connect and are restricted to their own subjects", len(users))
	}
	for _, user := range slices.Concat([]string{mesh.UserMigrate}, users) {
		if slices.Contains(users, user) && !slices.Contains(refused, user) && (user == mesh.UserMigrate || slices.Contains(subjects.Actors(), user)) {
			d.checkStreams(ctx, user)
			return
		}
	}
	d.add(mailcheck.Skipped, "the streams are not compared: this needs the key of migrate or of an actor", "")
}

// dial connects as a user to the servers of a URL.
func (d *doctor) dial(ctx context.Context, user, servers string) (*mesh.Conn, error) {
	options, err := d.p.options(user)
	if err != nil {
		return nil, err
	}
	options.URL, options.Wait = servers, connectWithin
	return mesh.Connect(ctx, options)
}

// checkServers connects to each server of nats.url by itself, and returns the URL of one that answers; empty if none does.
func (d *doctor) checkServers(ctx context.Context, user string) (reached string) {
	servers := strings.Split(d.p.natsURL, ",")
	clustered := map[string]bool{}
	var missing []error
	for _, server := range servers {
		conn, err := d.dial(ctx, user, server)
		if err != nil {
			missing = append(missing, fmt.Errorf("%s: %w", mesh.MaskURL(server), err))
			continue
		}
		reached = server
		for _, s := range conn.Servers() {
			clustered[s] = true
		}
		d.ok("%s answers, NATS %s", conn.ConnectedUrlRedacted(), conn.ConnectedServerVersion())
		conn.Close()
	}
	for _, err := range missing {
		status := mailcheck.Failed
		if reached != "" {
			status = mailcheck.Warning
		}
		d.add(status, err.Error(), "Start the NATS server (weft up has one within), or correct nats.url and nats.tls.")
	}
	if known, replicas := max(len(clustered), len(servers)), d.p.config.NATS.Replicas; reached != "" && known < replicas {
		d.add(mailcheck.Failed, fmt.Sprintf("nats.replicas is %d, and %d servers are known", replicas, known),
			"Add servers to the cluster and to nats.url, or lower nats.replicas.")
	}
	return reached
}

// checkUser connects as a user and subscribes to its inboxes, which it must be able to, and to all subjects, which it must not.
func (d *doctor) checkUser(ctx context.Context, user string) error {
	conn, err := d.dial(ctx, user, d.p.natsURL)
	if err != nil {
		return err
	}
	defer conn.Close()
	for _, s := range []struct {
		subject string
		allowed bool
	}{{mesh.InboxPrefix(user) + ".doctor", true}, {">", false}} {
		subscription, err := conn.SubscribeSync(s.subject)
		if err == nil {
			err = conn.FlushWithContext(ctx)
		}
		if err != nil {
			return fmt.Errorf("asking for %s's permissions: %w", user, err)
		}
		refusal := conn.LastError()
		_ = subscription.Unsubscribe()
		switch {
		case s.allowed && refusal != nil:
			return fmt.Errorf("the user %s lacks a permission: %w", user, refusal)
		case !s.allowed && refusal == nil:
			return fmt.Errorf("the user %s may subscribe to all subjects: the server does not restrict it", user)
		}
	}
	return nil
}

// checkStreams compares streams, buckets and durables with what this version and nats.replicas say, and reads the server's clock.
func (d *doctor) checkStreams(ctx context.Context, user string) {
	conn, err := d.dial(ctx, user, d.p.natsURL)
	if err != nil {
		d.add(mailcheck.Failed, err.Error(), "Run weft migrate.")
		return
	}
	defer conn.Close()
	target := mesh.Target{Replicas: d.p.config.NATS.Replicas}
	var plan mesh.Plan
	if user == mesh.UserMigrate {
		plan, err = mesh.Compare(ctx, conn.JS, target)
	} else {
		plan, err = mesh.CompareAs(ctx, conn, true, target)
	}
	if err != nil {
		d.add(mailcheck.Failed, "streams cannot be compared: "+err.Error(), "Enable JetStream on the NATS server: its nats.conf is that of weft nats-init.")
		return
	}
	d.differences(plan)
	asked := d.now()
	if stream, err := conn.JS.Stream(ctx, subjects.Streams()[0].Name); err == nil && !stream.CachedInfo().TimeStamp.IsZero() {
		d.clocks = append(d.clocks, clock{of: "NATS", now: stream.CachedInfo().TimeStamp, asked: asked, answered: d.now()})
	}
}

// differences reports what a plan would create, change and keep.
func (d *doctor) differences(plan mesh.Plan) {
	var missing, differ, kept []string
	for _, c := range plan.Changes {
		name := c.Kind + " " + c.Name
		for _, s := range c.Differences {
			name += fmt.Sprintf(" (%s is %s, expected %s)", s.Setting, s.Is, s.Want)
		}
		switch c.Action {
		case mesh.ActionCreate:
			missing = append(missing, name)
		case mesh.ActionKeep:
			kept = append(kept, name)
		default:
			differ = append(differ, name)
		}
	}
	if len(missing) > 0 {
		d.add(mailcheck.Failed, "missing: "+named(missing), "Run weft migrate.")
	}
	if len(differ) > 0 {
		d.add(mailcheck.Failed, "different: "+named(differ), "Run weft migrate --dry-run, then weft migrate.")
	}
	if len(kept) > 0 {
		d.add(mailcheck.Warning, "more than this version needs: "+named(kept), "Set nats.replicas as the streams have it, or lower them with weft migrate --lower.")
	}
	if len(missing)+len(differ)+len(kept) == 0 {
		d.ok("streams, buckets and durables are as expected, with %d replicas", d.p.config.NATS.Replicas)
	}
}

// checkDatabases checks each actor's database, and each PostgreSQL server once.
func (d *doctor) checkDatabases(ctx context.Context) {
	seen := map[string]bool{}
	for _, actor := range subjects.Actors() {
		config := d.p.database(actor)
		if database.IsPostgreSQL(config.URL) {
			d.checkPostgres(ctx, config, seen[config.URL])
			seen[config.URL] = true
		} else {
			d.checkSQLite(config)
		}
	}
}

// checkSQLite looks for the file only: a running weft has it locked.
func (d *doctor) checkSQLite(c database.Config) {
	path := filepath.Join(c.DataDir, c.Actor+".db")
	if c.URL != "" {
		_, path, _ = strings.Cut(c.URL, ":")
		path, _, _ = strings.Cut(path, "?")
	}
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		d.add(mailcheck.Warning, c.Actor+": "+path+" does not exist; weft creates it", "Set data (WEFT_DATA) or --data if weft uses another folder.")
	case err != nil || !info.Mode().IsRegular():
		d.add(mailcheck.Failed, fmt.Sprintf("%s: %s is not a readable file", c.Actor, path), "Correct data or the database's URL.")
	default:
		d.ok("%s: SQLite, %s", c.Actor, path)
	}
}

// checkPostgres checks an actor's schema, and the server unless it is known.
func (d *doctor) checkPostgres(ctx context.Context, c database.Config, known bool) {
	i, err := database.Inspect(ctx, c, actorTable[c.Actor].migrations)
	switch {
	case errors.Is(err, database.ErrSchemaNewer):
		d.add(mailcheck.Failed, c.Actor+": "+err.Error(), "Start the newer weft, or restore a backup.")
	case err != nil:
		d.add(mailcheck.Failed, c.Actor+": "+err.Error(), "Start PostgreSQL, or correct database.url (WEFT_DATABASE_URL).")
	case i.Pending > 0:
		d.add(mailcheck.Failed, fmt.Sprintf("%s: %d migrations of the schema %s are pending", c.Actor, i.Pending, i.Schema), "Run weft migrate --databases-only.")
	default:
		d.ok("%s: PostgreSQL, the schema %s is up to date", c.Actor, i.Schema)
	}
	if i.Version > 0 && !known {
		d.clocks = append(d.clocks, clock{of: "PostgreSQL", now: i.Now, asked: i.Asked, answered: i.Answered})
		d.postgresServer(i)
	}
}

// postgresServer judges a server's version and settings.
func (d *doctor) postgresServer(i database.Inspection) {
	if i.Version/10000 < leastPostgres {
		d.add(mailcheck.Warning, fmt.Sprintf("PostgreSQL %d is not maintained", i.Version/10000), "Upgrade PostgreSQL.")
	} else {
		d.ok("PostgreSQL %d.%d", i.Version/10000, i.Version%10000)
	}
	for _, name := range []string{"fsync", "full_page_writes", "synchronous_commit"} {
		if i.Settings[name] == "off" {
			d.add(mailcheck.Failed, name+" is off: a power failure loses or damages what was acknowledged",
				"Set "+name+" = on in postgresql.conf and reload PostgreSQL.")
		}
	}
	if encoding := i.Settings["server_encoding"]; encoding != "UTF8" {
		d.add(mailcheck.Failed, "the database's encoding is "+encoding, "Create the database with ENCODING 'UTF8'.")
	}
	most, err := strconv.Atoi(i.Settings["max_connections"])
	reserved, err2 := strconv.Atoi(i.Settings["superuser_reserved_connections"])
	if err != nil || err2 != nil {
		return
	}
	most -= reserved
	pool := d.p.config.Database.MaxOpen
	text := fmt.Sprintf("PostgreSQL has %d connections for users, and each process opens up to %d (database.max_open)", most, pool)
	switch mend := "Raise max_connections in postgresql.conf, or lower database.max_open."; {
	case pool > most:
		d.add(mailcheck.Failed, text, mend)
	case pool*splitProcesses > most:
		d.add(mailcheck.Warning, fmt.Sprintf("%s: enough for %d processes", text, most/pool), mend)
	default:
		d.ok("%s", text)
	}
}
