package notification

import (
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/weftmesh/weft/actors"
	"github.com/weftmesh/weft/actors/egress"
	"github.com/weftmesh/weft/actors/notification/channel"
	"github.com/weftmesh/weft/actors/notification/providers"
)

// channelProviders are the providers of SMS and push messages.
type channelProviders struct {
	client *egress.Client
	sms    *channel.Router
	push   *channel.Router
	keys   *channelKeys
	// dropped counts addresses that providers reported as no longer valid.
	dropped *prometheus.CounterVec
}

// newChannels makes the providers that the settings have. It reads their key files and connects to none.
func newChannels(d actors.Deps, c Config, keys *channelKeys) (*channelProviders, error) {
	client, err := egress.New(egress.Options{
		Allow: d.EgressAllow, AllowHTTP: d.EgressAllowHTTP, UserAgent: "weft/" + d.Version, MaxRedirects: -1,
	})
	if err != nil {
		return nil, fmt.Errorf("creating the HTTP client: %w", err)
	}
	s := &channelProviders{client: client, keys: keys}
	s.dropped = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "notification_addresses_dropped_total", Help: "Devices and phone numbers that a provider reported as no longer valid, by platform.",
	}, []string{"platform"})
	attempts := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "notification_provider_seconds", Buckets: []float64{.02, .05, .1, .25, .5, 1, 2.5, 5, 10, 30},
		Help: "Duration of attempts to send by a provider, by channel, provider and result: accepted, transient, permanent, throttled, suppressed.",
	}, []string{"channel", "provider", "result"})
	changes := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "notification_provider_breaker_total", Help: "Changes of providers' circuit breakers, by channel, provider and new state.",
	}, []string{"channel", "provider", "state"})
	d.Metrics.MustRegister(s.dropped, attempts, changes)
	router := func(name string, entries []channel.Entry) *channel.Router {
		return channel.NewRouter(channel.Options{
			Channel: name,
			Attempted: func(provider string, class channel.Class, took time.Duration) {
				if class == "" {
					class = "accepted"
				}
				attempts.WithLabelValues(name, provider, string(class)).Observe(took.Seconds())
			},
			Changed: func(provider, _, to string) { changes.WithLabelValues(name, provider, to).Inc() },
		}, entries...)
	}
	push, err := s.pushEntries(d, c)
	if err != nil {
		return nil, err
	}
	s.sms, s.push = router(channel.SMS, s.smsEntries(d, c)), router(channel.Push, push)
	return s, nil
}

// addTo adds the channels that have a provider to those of the pipeline.
func (s *channelProviders) addTo(byChannel map[string]channel.Provider) {
	for _, r := range []*channel.Router{s.sms, s.push} {
		if !r.Empty() {
			byChannel[r.Name()] = r
		}
	}
}

func (s *channelProviders) deps(d actors.Deps) providers.Deps {
	return providers.Deps{Client: s.client, Now: d.Now}
}

func (s *channelProviders) smsEntries(d actors.Deps, c Config) []channel.Entry {
	var entries []channel.Entry
	if c.Twilio.Enabled() {
		entries = append(entries, channel.Entry{Provider: providers.NewTwilio(s.deps(d), c.Twilio), Weight: c.Twilio.Weight})
	}
	if c.SNS.Enabled() {
		entries = append(entries, channel.Entry{Provider: providers.NewSNS(s.deps(d), c.SNS), Weight: c.SNS.Weight})
	}
	return entries
}

// pushEntries are idempotent: a device shows a message that it gets twice once.
func (s *channelProviders) pushEntries(d actors.Deps, c Config) ([]channel.Entry, error) {
	var entries []channel.Entry
	if c.FCM.Enabled() {
		fcm, err := providers.NewFCM(s.deps(d), c.FCM)
		if err != nil {
			return nil, err
		}
		entries = append(entries, channel.Entry{Provider: fcm, Weight: 1, Idempotent: true, Platform: providers.NameFCM})
	}
	if c.APNs.Enabled() {
		apns, err := providers.NewAPNs(s.deps(d), c.APNs)
		if err != nil {
			return nil, err
		}
		entries = append(entries, channel.Entry{Provider: apns, Weight: 1, Idempotent: true, Platform: providers.NameAPNs})
	}
	if c.WebPush.Enabled() {
		web := providers.NewWebPush(s.deps(d), c.WebPush, s.keys.vapid)
		entries = append(entries, channel.Entry{Provider: web, Weight: 1, Idempotent: true, Platform: providers.PlatformWeb, Host: web.Host})
	}
	return entries, nil
}

// smsAddress is the address of a phone number, for Router.Serves.
var smsAddress = channel.Address{}
