package actors

import (
	"encoding/base64"
	"encoding/json"
	"slices"
	"strings"

	"github.com/weftmesh/weft/subjects"
)

// EncodeCursor returns an opaque cursor for a sort key, the last item's; "" without a key.
func EncodeCursor(key ...string) string {
	if len(key) == 0 {
		return ""
	}
	data, err := json.Marshal(key)
	if err != nil {
		return ""
	}
	return base64.RawURLEncoding.EncodeToString(data)
}

// DecodeCursor returns the sort key of a cursor, which must have the given number of parts. An empty cursor, the first page's, yields
// empty parts. The error is CodeInvalid for the field cursor.
func DecodeCursor(cursor string, parts int) ([]string, error) {
	if cursor == "" {
		return make([]string, parts), nil
	}
	var key []string
	data, err := base64.RawURLEncoding.DecodeString(cursor)
	if err == nil {
		err = json.Unmarshal(data, &key)
	}
	if err != nil || len(key) != parts || slices.ContainsFunc(key, func(part string) bool { return strings.ContainsRune(part, 0) }) {
		return nil, subjects.InvalidField("cursor", "invalid cursor")
	}
	return key, nil
}

// PageOf returns the first limit items as a page. If there are more, the page has the cursor of its last item; so read limit+1 items.
func PageOf[T any](items []T, limit int, key func(T) []string) subjects.Page[T] {
	page := subjects.Page[T]{Items: items}
	if len(items) > limit {
		page.Items = items[:limit]
		page.NextCursor = EncodeCursor(key(items[limit-1])...)
	}
	if page.Items == nil {
		page.Items = []T{}
	}
	return page
}
