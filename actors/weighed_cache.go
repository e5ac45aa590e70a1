package actors

import (
	"sync"

	"github.com/hashicorp/golang-lru/v2/simplelru"
)

// WeighedCache keeps values up to a number of bytes together, the least recently used ones evicted. The value that was added last is kept
// whatever its weight.
type WeighedCache[K comparable, V any] struct {
	mu     sync.Mutex
	values *simplelru.LRU[K, V]
	weigh  func(V) int
	weight int
	most   int
}

// NewWeighedCache returns a cache of at most so many entries and bytes. It panics unless there may be an entry.
func NewWeighedCache[K comparable, V any](entries, bytes int, weigh func(V) int) *WeighedCache[K, V] {
	c := &WeighedCache[K, V]{weigh: weigh, most: bytes}
	values, err := simplelru.NewLRU[K, V](entries, func(_ K, value V) { c.weight -= weigh(value) })
	if err != nil {
		panic("actors: a cache's size must be positive")
	}
	c.values = values
	return c
}

// Get returns the value of a key.
func (c *WeighedCache[K, V]) Get(key K) (V, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.values.Get(key)
}

// Add keeps a value.
func (c *WeighedCache[K, V]) Add(key K, value V) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.values.Remove(key)
	c.values.Add(key, value)
	c.weight += c.weigh(value)
	for c.weight > c.most && c.values.Len() > 1 {
		c.values.RemoveOldest()
	}
}
