package actors

import (
	"strconv"
	"testing"
)

// TestWeighedCacheIsBoundedByBytes: large values leave room for fewer, and the last one is kept whatever its weight.
func TestWeighedCacheIsBoundedByBytes(t *testing.T) {
	t.Parallel()
	c := NewWeighedCache[string](1000, 100, func(v int) int { return v })
	for i := range 100 {
		c.Add(strconv.Itoa(i), 10)
	}
	if n := c.values.Len(); n != 10 || c.weight != 100 {
		t.Errorf("%d values of %d bytes are kept, want 10 of 100", n, c.weight)
	}
	c.Add("99", 20)
	if _, ok := c.Get("90"); ok || c.weight > 100 {
		t.Errorf("a value that grew left %d bytes", c.weight)
	}
	c.Add("large", 1000)
	if v, ok := c.Get("large"); !ok || v != 1000 || c.values.Len() != 1 || c.weight != 1000 {
		t.Errorf("a large value: %d, %v, with %d others and %d bytes", v, ok, c.values.Len()-1, c.weight)
	}
	c.Add("small", 1)
	if _, ok := c.Get("large"); ok || c.weight != 1 {
		t.Errorf("the large value was kept beside another: %d bytes", c.weight)
	}
}
