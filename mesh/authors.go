package mesh

import (
	"slices"
	"strings"

	"github.com/weftmesh/weft/kv"
	"github.com/weftmesh/weft/subjects"
)

// StreamAuthor returns the only user that may publish on a subject of a declared stream; empty for any other subject.
func StreamAuthor(subject string) string {
	for _, s := range subjects.Streams() {
		if author := s.Author(subject); author != "" {
			return author
		}
	}
	return ""
}

// isPrivate reports whether only the user reads what it publishes on a subject.
func isPrivate(user, subject string) bool {
	for _, s := range subjects.Streams() {
		if s.Author(subject) == user {
			return s.Private()
		}
	}
	for _, spec := range kv.All() {
		if key, ok := spec.Key(subject); ok {
			return spec.Author(key) == user && spec.Private()
		}
	}
	return slices.ContainsFunc(kv.ObjectStores(), func(s kv.ObjectSpec) bool {
		return s.Owner == user && strings.HasPrefix(subject, s.Prefix())
	})
}

// StreamOf returns the name of the declared stream, bucket's stream included, that a subject belongs to; "other" if there is none.
func StreamOf(subject string) string {
	for _, s := range subjects.Streams() {
		if s.Author(subject) != "" {
			return s.Name
		}
	}
	for _, spec := range kv.All() {
		if _, ok := spec.Key(subject); ok {
			return spec.Stream()
		}
	}
	for _, spec := range kv.ObjectStores() {
		if strings.HasPrefix(subject, spec.Prefix()) {
			return spec.Stream()
		}
	}
	return "other"
}
