package actors

import (
	"encoding/base64"
	"encoding/json"

	"github.com/weftmesh/weft/subjects"
)

// EncodeCursor makes an opaque page cursor of the last item's sort key; an empty key is no cursor.
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

// DecodeCursor reads a cursor with so many parts; an empty cursor gives empty parts. The error names
// the field cursor.
func DecodeCursor(cursor string, parts int) ([]string, error) {
	if cursor == "" {
		return make([]string, parts), nil
	}
	var key []string
	data, err := base64.RawURLEncoding.DecodeString(cursor)
	if err == nil {
		err = json.Unmarshal(data, &key)
	}
	if err != nil || len(key) != parts {
		return nil, subjects.InvalidField("cursor", "is not one that a list answered with")
	}
	return key, nil
}

// PageOf cuts a list that was read one longer than asked to a page, with the cursor of its last item.
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
