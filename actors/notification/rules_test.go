package notification

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/actors/notification/channel"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

func TestConfigCheck(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		change func(*Config)
		names  string // the setting that the error names; empty where there is none
	}{
		"default":                   {func(*Config) {}, ""},
		"a server with STARTTLS":    {func(c *Config) { c.SMTP.Host = "mail.example.com" }, ""},
		"a server with TLS":         {func(c *Config) { c.SMTP.Host, c.SMTP.TLS = "mail.example.com", "tls" }, ""},
		"localhost without TLS":     {func(c *Config) { c.SMTP.Host, c.SMTP.TLS = "localhost", "none" }, ""},
		"loopback without TLS":      {func(c *Config) { c.SMTP.Host, c.SMTP.TLS = "127.0.0.9", "none" }, ""},
		"IPv6 loopback without TLS": {func(c *Config) { c.SMTP.Host, c.SMTP.TLS = "::1", "none" }, ""},
		"a bare address":            {func(c *Config) { c.SMTP.From = "weft@example.com" }, ""},
		"no tick":                   {func(c *Config) { c.Tick = 0 }, "notification.tick "},
		"negative tick":             {func(c *Config) { c.Tick = -time.Second }, "notification.tick "},
		"negative rate":             {func(c *Config) { c.Pipeline.SMSPerHour = -1 }, "notification.pipeline.sms_per_hour "},
		"no rate":                   {func(c *Config) { c.Pipeline.SMSPerHour = 0 }, ""},
		"nothing may wait":          {func(c *Config) { c.Pipeline.MaxWaitingPerUser = 0 }, "notification.pipeline.max_waiting_per_user "},
		"sweeps attempts":           {func(c *Config) { c.Pipeline.SweepAfter = time.Second }, "notification.pipeline.sweep_after "},
		"no sweep":                  {func(c *Config) { c.Pipeline.Sweep = 0 }, "notification.pipeline.sweep "},
		"no sender":                 {func(c *Config) { c.SMTP.From = "" }, "notification.smtp.from "},
		"sender that is no address": {func(c *Config) { c.SMTP.From = "weft" }, "notification.smtp.from "},
		"a server without TLS":      {func(c *Config) { c.SMTP.Host, c.SMTP.TLS = "mail.example.com", "none" }, "notification.smtp.tls"},
		"an address without TLS":    {func(c *Config) { c.SMTP.Host, c.SMTP.TLS = "192.0.2.1", "none" }, "notification.smtp.tls"},
		"unknown TLS":               {func(c *Config) { c.SMTP.Host, c.SMTP.TLS = "mail.example.com", "ssl" }, "notification.smtp.tls "},
	} {
		config := DefaultConfig()
		test.change(&config)
		err := config.Check()
		if (err == nil) != (test.names == "") || err != nil && !strings.HasPrefix(err.Error(), test.names) {
			t.Errorf("%s: %v, want %q", name, err, test.names)
		}
		if err == nil {
			continue
		}
		if _, e := New(actors.Deps{}, config); e == nil || e.Error() != err.Error() {
			t.Errorf("%s: New returned %v", name, e)
		}
	}
}

func TestRecipient(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		caller actors.Caller
		userID string
		want   string // empty where the request is refused
	}{
		"a user":                         {actors.Caller{UserID: "ada"}, "", "ada"},
		"a user who names another":       {actors.Caller{UserID: "ada"}, "eve", ""},
		"a user who names itself":        {actors.Caller{UserID: "ada"}, "ADA", "ada"},
		"an admin":                       {actors.Caller{UserID: "ada", Roles: []string{subjects.RoleAdmin}}, "", "ada"},
		"an admin who names another":     {actors.Caller{UserID: "ada", Roles: []string{subjects.RoleAdmin}}, "eve", "eve"},
		"a service that names a user":    {actors.Caller{Service: "auth"}, "eve", "eve"},
		"a service on a user's behalf":   {actors.Caller{Service: "auth", UserID: "ada"}, "", "ada"},
		"a service that names nobody":    {actors.Caller{Service: "auth"}, "", ""},
		"a service under a grant":        {actors.Caller{Service: "workflow", UserID: "ada", Grant: mesh.Grant{ConsentID: "c"}}, "", "ada"},
		"a grant does not reach another": {actors.Caller{Service: "workflow", UserID: "ada", Grant: mesh.Grant{ConsentID: "c"}}, "eve", ""},
	} {
		got, err := recipient(test.caller, test.userID)
		if got != test.want || (err == nil) != (test.want != "") {
			t.Errorf("%s: %q, %v; want %q", name, got, err, test.want)
		}
	}
}

func TestStatusOf(t *testing.T) {
	t.Parallel()
	started := notificationRow{Started: true}
	for name, test := range map[string]struct {
		row      notificationRow
		channels []string
		want     string
	}{
		"scheduled":             {notificationRow{}, []string{statusPending}, statusScheduled},
		"cancelled":             {notificationRow{Cancelled: true}, []string{statusCancelled}, statusCancelled},
		"pending":               {started, []string{statusPending}, statusPending},
		"partly pending":        {started, []string{statusPending, statusDelivered}, statusPending},
		"partly pending, last":  {started, []string{statusDelivered, statusPending}, statusPending},
		"delivered":             {started, []string{statusDelivered, statusDelivered}, statusDelivered},
		"partly failed":         {started, []string{statusFailed, statusDelivered}, statusFailed},
		"failed and pending":    {started, []string{statusPending, statusFailed}, statusFailed},
		"deferred":              {started, []string{statusDeferred, statusDelivered}, statusPending},
		"batched":               {started, []string{statusSuppressed, statusBatched}, statusPending},
		"suppressed":            {started, []string{statusSuppressed, statusSuppressed}, statusSuppressed},
		"partly suppressed":     {started, []string{statusSuppressed, statusDelivered}, statusDelivered},
		"partly cancelled":      {started, []string{statusCancelled, statusDelivered}, statusDelivered},
		"cancelled, suppressed": {started, []string{statusCancelled, statusSuppressed}, statusCancelled},
	} {
		channels := make([]deliveryRow, len(test.channels))
		for i, status := range test.channels {
			channels[i].Status = status
		}
		if got := statusOf(test.row, channels); got != test.want {
			t.Errorf("%s: %s, want %s", name, got, test.want)
		}
	}
}

// TestAfterAttempt: the class of an error decides, a retry is always later than now, and after the last attempt there is none.
func TestAfterAttempt(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_700_000_000, 0)
	job := subjects.Deliver.Consumer()
	fault := func(class channel.Class, after time.Duration) error {
		return fmt.Errorf("sending: %w", &channel.Error{Class: class, Detail: "busy", RetryAfter: after})
	}
	for name, test := range map[string]struct {
		err      error
		attempts int
		status   string
		reason   reason
		next     time.Duration
	}{
		"accepted":                 {nil, 1, statusDelivered, "", 0},
		"accepted at last":         {nil, 9, statusDelivered, "", 0},
		"no class":                 {errors.New("busy"), 1, statusPending, reasonAttemptFailed, 2 * time.Second},
		"transient":                {fault(channel.Transient, 0), 2, statusPending, reasonAttemptFailed, 15 * time.Second},
		"transient with a time":    {fault(channel.Transient, time.Hour), 2, statusPending, reasonAttemptFailed, time.Hour},
		"a time in the past":       {fault(channel.Throttled, -time.Hour), 5, statusDeferred, reasonProviderThrottled, 30 * time.Minute},
		"throttled":                {fault(channel.Throttled, 3*time.Hour), 1, statusDeferred, reasonProviderThrottled, 3 * time.Hour},
		"throttled for ever":       {fault(channel.Throttled, 1<<62), 1, statusDeferred, reasonProviderThrottled, maxRetryAfter},
		"the last transient":       {fault(channel.Transient, 0), 6, statusFailed, reasonExhausted, 0},
		"the last throttled":       {fault(channel.Throttled, time.Hour), 6, statusFailed, reasonExhausted, 0},
		"beyond the last":          {fault(channel.Throttled, time.Hour), 60, statusFailed, reasonExhausted, 0},
		"permanent":                {fault(channel.Permanent, 0), 1, statusFailed, reasonRefused, 0},
		"suppressed":               {fault(channel.Suppressed, 0), 1, statusSuppressed, reasonAddressRefused, 0},
		"the account is gone":      {outcomeError{reasonAccountGone, &channel.Error{Class: channel.Permanent}}, 1, statusFailed, reasonAccountGone, 0},
		"there is no address":      {outcomeError{reasonNoAddress, &channel.Error{Class: channel.Suppressed}}, 1, statusSuppressed, reasonNoAddress, 0},
		"no attempt was counted":   {fault(channel.Transient, 0), 0, statusPending, reasonAttemptFailed, 2 * time.Second},
		"worse with two addresses": {worthier(fault(channel.Suppressed, 0), fault(channel.Permanent, 0)), 1, statusFailed, reasonRefused, 0},
		"better with two":          {worthier(fault(channel.Transient, 0), fault(channel.Permanent, 0)), 1, statusPending, reasonAttemptFailed, 2 * time.Second},
	} {
		var receipt channel.Receipt // one beside an error means that another device has accepted the message
		if test.err == nil {
			receipt = channel.Receipt{Provider: "p", MessageID: "m"}
		}
		got := deliveryRow{Attempts: test.attempts, NextAttemptAt: 1, Status: statusPending}.after(receipt, test.err, job, now)
		next := time.Duration(0)
		if got.NextAttemptAt != 0 {
			next = time.UnixMicro(got.NextAttemptAt).Sub(now)
		}
		if got.Status != test.status || got.Reason != test.reason || next != test.next || (got.AcceptedAt != 0) != (test.err == nil) {
			t.Errorf("%s: %+v", name, got)
		}
		if sentences[got.Reason] == "" && got.Reason != "" {
			t.Errorf("%s: reason %s has no sentence", name, got.Reason)
		}
	}
}

func TestTruncate(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		text  string
		limit int
		want  string
	}{
		{"", 3, ""}, {"abc", 3, "abc"}, {"abcd", 3, "abc"}, {"aüb", 2, "a"}, {"aüb", 3, "aü"}, {"✓✓", 3, "✓"}, {"✓✓", 5, "✓"}, {"✓", 2, ""},
	} {
		got := channel.Truncate(test.text, test.limit)
		if got != test.want || !utf8.ValidString(got) {
			t.Errorf("channel.Truncate(%q, %d) is %q, want %q", test.text, test.limit, got, test.want)
		}
	}
}
