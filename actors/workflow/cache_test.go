package workflow

import (
	"strconv"
	"testing"
	"time"
)

func TestReadCache(t *testing.T) {
	t.Parallel()
	c := newReadCache[string, int](2)
	_, ok, changes := c.get("a")
	if ok {
		t.Error("an empty cache has a value")
	}
	c.add("a", 1, changes)
	if v, ok, _ := c.get("a"); !ok || v != 1 {
		t.Errorf("added, the value is %d, %v", v, ok)
	}
	c.add("b", 2, changes)
	c.get("a")
	c.add("c", 3, changes) // evicts b, the least recently used
	for key, want := range map[string]bool{"a": true, "b": false, "c": true} {
		if _, ok, _ := c.get(key); ok != want {
			t.Errorf("after three values in a cache of two, %s is cached: %v", key, ok)
		}
	}
	c.removeIf(func(v int) bool { return v == 3 })
	if _, ok, now := c.get("c"); ok || now != changes {
		t.Errorf("removeIf left the value (%v), or counted as a change (%d)", ok, now)
	}
	c.remove("a")
	if _, ok, now := c.get("a"); ok || now == changes {
		t.Errorf("remove left a value (%v), or was not counted as a change", ok)
	}
}

// TestReadCacheKeepsNoStaleValue: a value read before a change is not added after it, whichever key changed.
func TestReadCacheKeepsNoStaleValue(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*readCache[string, int]){
		"the key was removed":     func(c *readCache[string, int]) { c.remove("a") },
		"another key was removed": func(c *readCache[string, int]) { c.remove("b") },
	} {
		c := newReadCache[string, int](10)
		_, _, changes := c.get("a")
		change(c)
		c.add("a", 1, changes)
		if _, ok, _ := c.get("a"); ok {
			t.Errorf("after %s, a value from before is cached", name)
		}
	}
}

func TestReadCacheNeedsASize(t *testing.T) {
	t.Parallel()
	defer func() {
		if recover() == nil {
			t.Error("a cache of no entries was made")
		}
	}()
	newReadCache[string, int](0)
}

// TestReadCacheIsBounded adds many more values than the cache holds.
func TestReadCacheIsBounded(t *testing.T) {
	t.Parallel()
	c := newReadCache[string, int](10)
	for i := range 1000 {
		c.add(strconv.Itoa(i), i, 0)
	}
	if n := c.values.Len(); n != 10 {
		t.Errorf("a cache of 10 has %d values", n)
	}
}

func TestOpenedSecretsExpire(t *testing.T) {
	t.Parallel()
	read := time.Now()
	s := openedSecrets{readAt: read}
	if s.expired(read.Add(secretLifetime - time.Nanosecond)) {
		t.Error("secrets expired before their lifetime was over")
	}
	if !s.expired(read.Add(secretLifetime)) {
		t.Error("secrets outlived their lifetime")
	}
}
