package main

import (
	"errors"
	"fmt"
	"maps"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"time"

	"go.uber.org/zap/zapcore"

	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/cmd/weft/settings"
	"github.com/weftmesh/weft/mesh"
)

// check returns an error for each invalid setting of the process, of every actor and of the gateway.
func (c Config) check() error {
	return errors.Join(
		c.checkProcess(), c.Auth.Check(), c.integration().Check(), c.Workflow.Check(), c.Consent.Check(), c.Notification.Check(),
		c.Gateway.Check(), c.Edge.Check(),
	)
}

// checkProcess checks the settings that belong to no actor.
func (c Config) checkProcess() error {
	var errs []error
	fail := func(setting, format string, args ...any) {
		errs = append(errs, mesh.InvalidSetting(setting, format, args...))
	}
	if c.Durability != database.DurabilityAlways && c.Durability != database.DurabilityInterval {
		fail("durability", "is %q, and must be %q or %q", c.Durability, database.DurabilityAlways, database.DurabilityInterval)
	}
	if c.Issuer == "" {
		fail("issuer", "must not be empty")
	}
	if c.Audience == "" {
		fail("audience", "must not be empty")
	}
	if _, _, err := serverAddress(c.NATS.Listen); err != nil {
		fail("nats.listen", "is %q, and must be host:port", c.NATS.Listen)
	}
	if _, _, err := serverAddress(c.NATS.LeafListen); c.NATS.LeafListen != "" && err != nil {
		fail("nats.leaf_listen", "is %q, and must be host:port", c.NATS.LeafListen)
	}
	if err := mesh.CheckServers(c.NATS.URL); err != nil {
		fail("nats.url", "%v", err)
	}
	if u, err := url.Parse(c.Tracing.OTLP); c.Tracing.OTLP != "" && (err != nil || u.Hostname() == "" || u.Scheme != "http" && u.Scheme != "https") {
		fail("tracing.otlp", "must be an http or https URL (not shown, it may hold a password)")
	}
	for setting, text := range c.databaseURLs() {
		// Masked is what `weft config` prints: a file that it wrote is valid until it is used to open a database.
		if err := database.CheckURL(text.Reveal()); err != nil && text != "" && text.Reveal() != text.String() {
			fail(setting, "is invalid: %v", err)
		}
	}
	errs = append(errs, c.NATS.TLS.Check(time.Now()))
	if c.NATS.Replicas < 1 || c.NATS.Replicas > 5 {
		fail("nats.replicas", "is %d, and must be between 1 and 5", c.NATS.Replicas)
	}
	if _, err := zapcore.ParseLevel(c.Log.Level); err != nil {
		fail("log.level", "is %q, and must be debug, info, warn or error", c.Log.Level)
	}
	if !slices.Contains([]string{logAuto, logJSON, logText}, c.Log.Format) {
		fail("log.format", "is %q, and must be auto, json or text", c.Log.Format)
	}
	if c.Metrics.Port < -1 || c.Metrics.Port > 65535 {
		fail("metrics.port", "is %d, and must be between -1 and 65535", c.Metrics.Port)
	}
	if c.Tracing.Ratio < 0 || c.Tracing.Ratio > 1 {
		fail("tracing.ratio", "is %v, and must be between 0 and 1", c.Tracing.Ratio)
	}
	if _, err := parsePrefixes(c.Egress.Allow); err != nil {
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// origins maps the path of a setting to where it is set: file:line, or the name of an environment variable.
type origins map[string]string

// locate prefixes each error about a setting with the setting's origin. err may join several errors.
func (o origins) locate(err error) error {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		located := make([]error, len(joined.Unwrap()))
		for i, e := range joined.Unwrap() {
			located[i] = o.locate(e)
		}
		return errors.Join(located...)
	}
	if origin := o.of(settingOf(err)); origin != "" {
		return fmt.Errorf("%s: %w", origin, err)
	}
	return err
}

// settingOf returns the path of the setting that an error is about, or "".
func settingOf(err error) string {
	var invalid *mesh.SettingError
	if errors.As(err, &invalid) {
		return invalid.Setting
	}
	return ""
}

// decodeErrors returns a mesh.SettingError for each value that cannot be decoded, by the errors of package mapstructure. It shows no
// value: a secret may have been given to the wrong setting.
func decodeErrors(k settings.Keys, err error) error {
	switch e := err.(type) { //nolint:errorlint // the tree of errors is walked node by node
	case interface {
		Name() string
		Unwrap() error
	}:
		name, _, _ := strings.Cut(e.Name(), "[")
		return mesh.InvalidSetting(e.Name(), "has an invalid value, and must be %s", expectation(k.TypeOf(name)))
	case interface{ Unwrap() []error }:
		errs := make([]error, len(e.Unwrap()))
		for i, one := range e.Unwrap() {
			errs[i] = decodeErrors(k, one)
		}
		return errors.Join(errs...)
	case interface{ Unwrap() error }:
		return decodeErrors(k, e.Unwrap())
	}
	return err
}

// expectation says what the values of a setting's type look like.
func expectation(t reflect.Type) string {
	switch {
	case t == nil:
		return "of another type"
	case t == reflect.TypeFor[time.Duration]():
		return "a duration such as 90s, 15m or 24h"
	case t.Kind() == reflect.Bool:
		return "true or false"
	case t.Kind() == reflect.Float64:
		return "a number"
	case t.Kind() == reflect.Slice:
		return "a list"
	case t.Kind() == reflect.String:
		return "a text"
	}
	return "a whole number"
}

// of returns the origin of a setting or, for a section, that of its first setting. An index, as in gateway.cors_origins[0], is
// ignored.
func (o origins) of(setting string) string {
	setting, _, _ = strings.Cut(setting, "[")
	if setting == "" {
		return ""
	}
	if origin, ok := o[setting]; ok {
		return origin
	}
	for _, path := range slices.Sorted(maps.Keys(o)) {
		if strings.HasPrefix(path, setting+".") {
			return o[path]
		}
	}
	return ""
}
