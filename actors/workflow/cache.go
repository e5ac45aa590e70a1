package workflow

import (
	"sync"

	"github.com/hashicorp/golang-lru/v2/simplelru"
)

// readCache keeps values that were read from the database, the least recently used ones evicted. A value that was read
// before remove was called is not added after it, so that a slow read cannot bring back what has changed meanwhile.
type readCache[K comparable, V any] struct {
	mu      sync.Mutex
	values  *simplelru.LRU[K, V]
	changes uint64
}

func newReadCache[K comparable, V any](size int) *readCache[K, V] {
	values, err := simplelru.NewLRU[K, V](size, nil)
	if err != nil {
		panic("workflow: a cache's size must be positive")
	}
	return &readCache[K, V]{values: values}
}

// get returns the value of a key, or the change count to give to add once the value has been read.
func (c *readCache[K, V]) get(key K) (value V, ok bool, changes uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	value, ok = c.values.Get(key)
	return value, ok, c.changes
}

// add keeps a value unless something was removed since get returned changes.
func (c *readCache[K, V]) add(key K, value V, changes uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.changes == changes {
		c.values.Add(key, value)
	}
}

// remove drops a key's value. Call it after a change is committed and before the request that made it is answered.
func (c *readCache[K, V]) remove(key K) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.changes++
	c.values.Remove(key)
}

// removeIf drops the values that match, without counting as a change.
func (c *readCache[K, V]) removeIf(match func(V) bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, key := range c.values.Keys() {
		if value, ok := c.values.Peek(key); ok && match(value) {
			c.values.Remove(key)
		}
	}
}
