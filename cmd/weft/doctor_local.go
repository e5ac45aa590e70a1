package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/weftmesh/weft/actors/egress"
	"github.com/weftmesh/weft/actors/notification/mailcheck"
	"github.com/weftmesh/weft/mesh/memory"
)

const (
	// diskFull and diskLow are the free bytes of the data folder's file system below which the check fails and warns.
	diskFull = 256 << 20
	diskLow  = 2 << 30
	// skewWarning and skewFailed are differences between clocks: schedules and expiries are off by them.
	skewWarning = time.Second
	skewFailed  = 30 * time.Second
	// mostNamed bounds the files and streams that one finding names.
	mostNamed = 5
)

// clock is another machine's clock: what it read between asked and answered of this one. It is off by up to precision.
type clock struct {
	of              string
	now             time.Time
	asked, answered time.Time
	precision       time.Duration
}

// skew returns how far the clock is certainly ahead of this machine's; negative if it is behind.
func (c clock) skew() time.Duration {
	if ahead := c.now.Sub(c.answered); ahead > 0 {
		return ahead
	}
	return min(0, c.now.Add(c.precision).Sub(c.asked))
}

// checkSettings has nothing to read: settings that are invalid end the command before.
func (d *doctor) checkSettings(context.Context) {
	d.ok("the settings are valid")
	container, _ := memory.ContainerLimit(os.DirFS("/"))
	limit := memory.Apply()
	switch {
	case container == 0 && limit.Source == "":
		d.ok("there is no memory limit")
	case container > 0 && limit.Source == "GOMEMLIMIT" && (limit.Bytes > container/10*9 || limit.Bytes == math.MaxInt64):
		d.add(mailcheck.Warning, fmt.Sprintf("GOMEMLIMIT lets Go's runtime take more than 90 %% of the control group's %d MiB", container>>20),
			"Unset GOMEMLIMIT, so that weft takes 85 % of the limit, or raise the control group's limit.")
	default:
		d.ok("Go's runtime takes at most %d MiB, by %s", limit.Bytes>>20, limit.Source)
	}
}

// checkKeys reads the modes of files that only weft's user may read.
func (d *doctor) checkKeys(context.Context) {
	if runtime.GOOS == "windows" {
		d.add(mailcheck.Skipped, "file modes say nothing on Windows", "")
		return
	}
	data := d.p.config.Data
	var files []string
	for _, pattern := range []string{
		filepath.Join(d.p.keys, "*.nk"), filepath.Join(data, "keys", "*.keyset.json"), filepath.Join(data, "nats", "privileged.conf"), filepath.Join(data, "*.db"),
	} {
		matches, err := filepath.Glob(pattern)
		if err != nil {
			d.add(mailcheck.Failed, err.Error(), "Correct the setting data or nats.keys.")
		}
		files = append(files, matches...)
	}
	var open []string
	for _, file := range files {
		info, err := os.Stat(file)
		if err != nil {
			d.add(mailcheck.Failed, "a key cannot be read: "+err.Error(), "Run weft doctor as the user that runs weft.")
		} else if info.Mode().Perm()&0o077 != 0 {
			open = append(open, file)
		}
	}
	switch {
	case len(open) > 0:
		d.add(mailcheck.Failed, "other users can read or write "+named(open), "Run chmod 600 on these files, and rotate the keys if others have used the machine.")
	case len(files) == 0:
		d.add(mailcheck.Warning, "there are no keys in "+d.p.keys, "Run weft up or weft nats-init, or set nats.keys to their folder.")
	default:
		d.ok("only the owner can read %d keys and databases", len(files))
	}
}

func named(list []string) string {
	slices.Sort(list)
	if more := len(list) - mostNamed; more > 0 {
		return fmt.Sprintf("%s and %d more", strings.Join(list[:mostNamed], ", "), more)
	}
	return strings.Join(list, ", ")
}

func (d *doctor) checkDisk(context.Context) {
	dir := d.p.config.Data
	size, free, err := diskSpace(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		d.add(mailcheck.Warning, "the data folder "+dir+" does not exist; weft creates it", "Set data (WEFT_DATA) or --data if weft uses another folder.")
	case err != nil:
		d.add(mailcheck.Failed, "the free space of "+dir+" is unknown: "+err.Error(), "Run weft doctor as the user that runs weft.")
	default:
		d.space(dir, size, free)
	}
}

// space judges the free space of a folder's file system.
func (d *doctor) space(dir string, size, free uint64) {
	text := fmt.Sprintf("%s has %d MiB free of %d MiB", dir, free>>20, size>>20)
	switch mend := "Enlarge the disk, or let less be kept; see docs/runbooks."; {
	case free < diskFull:
		d.add(mailcheck.Failed, text, mend)
	case free < diskLow || free < size/20:
		d.add(mailcheck.Warning, text, mend)
	default:
		d.ok("%s", text)
	}
}

// checkURL requests /healthz at the public URL as a browser elsewhere does.
func (d *doctor) checkURL(ctx context.Context) {
	base := d.p.config.integration().PublicURL
	parsed, err := url.Parse(base)
	if err != nil || parsed.Host == "" {
		d.add(mailcheck.Failed, "integration.public_url is not a URL", "Set integration.public_url to the address at which browsers reach weft.")
		return
	}
	if d.p.config.Integration.PublicURL == "" {
		d.add(mailcheck.Warning, "integration.public_url is not set: links and OAuth redirects lead to "+base,
			"Set integration.public_url to the address at which browsers reach weft.")
	} else if parsed.Scheme != "https" {
		d.add(mailcheck.Warning, base+" has no TLS", "Serve it over https, by gateway.tls_cert or a proxy.")
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(base, "/")+"/healthz", http.NoBody)
	if err != nil {
		d.add(mailcheck.Failed, err.Error(), "Correct integration.public_url.")
		return
	}
	client := http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{
		TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12}, DisableKeepAlives: true,
	}}
	asked := d.now()
	response, err := client.Do(request)
	if err != nil {
		d.add(mailcheck.Failed, err.Error(), "Start weft, or correct DNS, the proxy, its certificate or integration.public_url.")
		return
	}
	defer func() { _ = response.Body.Close() }()
	if now, err := http.ParseTime(response.Header.Get("Date")); err == nil {
		d.clocks = append(d.clocks, clock{of: base, now: now, asked: asked, answered: d.now(), precision: time.Second})
	}
	var health struct{ Status string }
	body, err := io.ReadAll(io.LimitReader(response.Body, 64<<10))
	if err == nil {
		err = json.Unmarshal(body, &health)
	}
	if err != nil || response.StatusCode != http.StatusOK || health.Status != "ok" {
		d.add(mailcheck.Failed, fmt.Sprintf("%s answers /healthz with status %d, and not as weft", base, response.StatusCode),
			"Let the proxy pass all paths to gateway.listen, or correct integration.public_url.")
		return
	}
	d.ok("%s is weft", base)
}

// checkClock compares the clocks that other checks have read with this machine's.
func (d *doctor) checkClock(context.Context) {
	if len(d.clocks) == 0 {
		d.add(mailcheck.Skipped, "no other clock could be read", "")
	}
	for _, c := range d.clocks {
		skew := c.skew().Round(time.Millisecond)
		status := mailcheck.OK
		switch {
		case skew.Abs() >= skewFailed:
			status = mailcheck.Failed
		case skew.Abs() >= skewWarning:
			status = mailcheck.Warning
		}
		mend := ""
		if status != mailcheck.OK {
			mend = "Synchronise both machines' clocks, for example with chrony."
		}
		d.add(status, fmt.Sprintf("the clock of %s differs by at least %s", c.of, skew), mend)
	}
}

// checkEgress makes a request to this machine, which the guard must refuse.
func (d *doctor) checkEgress(ctx context.Context) {
	config := d.p.config.Egress
	allow, err := parsePrefixes(config.Allow)
	if err != nil {
		d.add(mailcheck.Failed, err.Error(), "Correct egress.allow.")
		return
	}
	client, err := egress.New(egress.Options{Allow: allow, AllowHTTP: config.AllowHTTP})
	if err != nil {
		d.add(mailcheck.Failed, err.Error(), "Correct egress.allow.")
		return
	}
	defer client.Close()
	_, err = client.Do(ctx, egress.Request{URL: "https://127.0.0.1:1/"}) // a port on which nothing listens
	if failed := new(egress.Error); errors.As(err, &failed) && failed.Kind == egress.KindBlocked {
		d.ok("a request to 127.0.0.1 is refused")
	} else {
		d.add(mailcheck.Warning, "workflows and connections may reach 127.0.0.1 on this machine",
			"Remove the loopback range from egress.allow unless this is a development machine.")
	}
	if config.AllowHTTP {
		d.add(mailcheck.Warning, "egress.allow_http is on: requests without TLS are sent", "Turn egress.allow_http off.")
	}
}
