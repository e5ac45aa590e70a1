package integration_test

import (
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap/zaptest"

	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/actors/integration"
	"github.com/weftmesh/weft/actors/integration/manifest"
	"github.com/weftmesh/weft/actors/integration/providers"
	"github.com/weftmesh/weft/kv"
)

// everyProvider loads the manifests that weft ships.
func everyProvider(t *testing.T) map[string]*manifest.Provider {
	t.Helper()
	loaded, faults, err := manifest.LoadFS(providers.FS)
	if err != nil || len(faults) > 0 || len(loaded) < 50 {
		t.Fatalf("%d providers, %v, %v", len(loaded), faults, err)
	}
	return loaded
}

var headerField = regexp.MustCompile(`\.headers\["([^"]+)"\]`)

// reporting returns the header fields in which a provider reports that half of each limit is left, until a reset in half an hour.
// The manifest's expressions say which they are.
func reporting(p *manifest.Provider, now time.Time) http.Header {
	const reset = 30 * time.Minute
	header := http.Header{}
	for _, l := range p.Limits {
		left := strconv.Itoa(max(1, l.Requests/2))
		for _, found := range headerField.FindAllStringSubmatch(l.Remaining, -1) {
			header.Set(found[1], left)
			if found[1] == "sforce-limit-info" {
				header.Set(found[1], fmt.Sprintf("api-usage=%d/%d", l.Requests-l.Requests/2, l.Requests))
			}
		}
		for _, found := range headerField.FindAllStringSubmatch(l.Reset, -1) {
			value := int64(reset / time.Second)
			if strings.Contains(l.Reset, ".now") {
				value += now.Unix()
			}
			if strings.Contains(l.Reset, "/ 1000") {
				value *= 1000
			}
			header.Set(found[1], strconv.FormatInt(value, 10))
		}
	}
	return header
}

// byLimits returns one action for each set of limits.
func byLimits(all []*manifest.Action) (some []*manifest.Action) {
	known := map[string]bool{}
	for _, a := range all {
		set := ""
		for _, l := range a.Limits() {
			set += l.ID + " "
		}
		if !known[set] {
			known[set] = true
			some = append(some, a)
		}
	}
	return some
}

// TestEveryProviderIsHeldForWhatItSaid: a refusal with Retry-After holds the connection for that time, although header fields say
// that the limit which they are about is reset half an hour later; also if the answer to a call that overlaps says so again. Without
// Retry-After, a refusal while the reported limit is not used up does not wait for that limit.
func TestEveryProviderIsHeldForWhatItSaid(t *testing.T) {
	t.Parallel()
	m := actortest.Start(t)
	open := func() integration.Limits {
		pacer, err := kv.OpenPacer(t.Context(), m.Conn(t, "integration").JS, kv.IntegrationLimits)
		if err != nil {
			t.Fatal(err)
		}
		return integration.NewLimits(pacer, zaptest.NewLogger(t))
	}
	here, elsewhere := open(), open()
	for id, p := range everyProvider(t) {
		t.Run(id, func(t *testing.T) {
			t.Parallel()
			for _, a := range byLimits(append(p.Actions[:len(p.Actions):len(p.Actions)], p.Proxy)) {
				checkHold(t, a, here, elsewhere)
			}
		})
	}
}

func checkHold(t *testing.T, a *manifest.Action, here, elsewhere integration.Limits) {
	t.Helper()
	connection, now := a.Provider().ID+" "+a.ID, time.Now()
	header := reporting(a.Provider(), now)
	if wait, err := elsewhere.Wait(t.Context(), a, connection); err != nil || wait != 0 {
		t.Fatalf("%s: the first call waits %s, %v", connection, wait, err)
	}
	good := manifest.Answer{Status: 200, Header: header.Clone(), Body: []byte(`{}`), At: now}
	refusal := manifest.Answer{Status: 429, Header: header.Clone(), Body: []byte(`{}`), At: now}
	refusal.Header.Set("Retry-After", "20")
	for i, answer := range []manifest.Answer{good, refusal, good} {
		failed := here.Learn(t.Context(), a, connection, answer)
		if i == 1 && (failed == nil || failed.Class != manifest.ClassLimited || failed.RetryAfter != 20*time.Second) {
			t.Errorf("%s: the refusal is %+v", connection, failed)
		}
	}
	for name, process := range map[string]integration.Limits{"here": here, "elsewhere": elsewhere} {
		if wait, err := process.Wait(t.Context(), a, connection); err != nil || wait <= 0 || wait > 20*time.Second {
			t.Errorf("%s: %s a call waits %s, %v, want 20 s", connection, name, wait, err)
		}
	}
	refusal.Header.Del("Retry-After")
	if failed := here.Learn(t.Context(), a, connection+" secondary", refusal); failed == nil || failed.RetryAfter > time.Minute {
		t.Errorf("%s: a refusal by another limit than the reported one is %+v", connection, failed)
	}
}

// TestUsedUpLimitIsHeldUntilItsReset: where a provider reports that nothing is left, without Retry-After, the connection is held until
// the reset that it reports.
func TestUsedUpLimitIsHeldUntilItsReset(t *testing.T) {
	t.Parallel()
	m := actortest.Start(t)
	pacer, err := kv.OpenPacer(t.Context(), m.Conn(t, "integration").JS, kv.IntegrationLimits)
	if err != nil {
		t.Fatal(err)
	}
	limits := integration.NewLimits(pacer, zaptest.NewLogger(t))
	tested := 0
	for id, p := range everyProvider(t) {
		header := reporting(p, time.Now())
		resets := 0
		for _, l := range p.Limits {
			for _, found := range headerField.FindAllStringSubmatch(l.Remaining, -1) {
				header.Set(found[1], "0")
			}
			resets += len(headerField.FindAllString(l.Reset, 1))
		}
		if resets == 0 {
			continue
		}
		for _, a := range byLimits(p.Actions) {
			if readings := a.Readings(manifest.Answer{Status: 429, Header: header, At: time.Now()}); len(readings) == 0 {
				continue
			}
			tested++
			connection := id + " " + a.ID
			limits.Learn(t.Context(), a, connection, manifest.Answer{Status: 429, Header: header, Body: []byte(`{}`), At: time.Now()})
			if wait, err := limits.Wait(t.Context(), a, connection); err != nil || wait < 29*time.Minute || wait > 31*time.Minute {
				t.Errorf("%s: a call waits %s, %v, want half an hour", connection, wait, err)
			}
		}
	}
	if tested < 12 {
		t.Errorf("only %d sets of limits report a reset", tested)
	}
}
