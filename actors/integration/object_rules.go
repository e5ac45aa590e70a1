package integration

import (
	"cmp"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/weftmesh/weft/subjects"
)

const (
	// objectOverhead is what an object counts in usage besides its size, in bytes. It bounds the number of empty objects.
	objectOverhead = 4 << 10

	// maxObjectText bounds a name, in characters, and a content type, in bytes.
	maxObjectText = 255

	defaultObjectName = "file"
	defaultObjectType = "application/octet-stream"
)

// objectContext is the associated data of an object's sealed key.
func objectContext(userID, id string) []byte {
	return []byte("integration|" + userID + "|" + id + "|data_key")
}

// partContext is the associated data of a sealed part.
func partContext(id string, number int64) []byte {
	return []byte("integration|" + id + "|part|" + strconv.FormatInt(number, 10))
}

// partName is a part's key in the object store.
func partName(id string, number int64) string { return id + "." + strconv.FormatInt(number, 10) }

func errTooLarge(limit int64) error {
	return &subjects.Error{
		Code: subjects.CodeTooLarge, Detail: fmt.Sprintf("a file may have at most %d bytes", limit),
		Fields: []subjects.FieldError{{Field: "size", Message: "is too large"}},
	}
}

// errStoreFull is the error if the quota of all users is used up. Expired files are deleted at intervals of after.
func errStoreFull(after time.Duration) error {
	return &subjects.Error{Code: subjects.CodeUnavailable, Detail: "the storage for files is full right now", RetryAfter: after}
}

func errPartConflict() error {
	return &subjects.Error{
		Code: subjects.CodeConflict, Detail: "the object has different content at that offset",
		Fields: []subjects.FieldError{{Field: "content", Message: "differs from the stored part"}},
	}
}

func errChecksum() error { return subjects.InvalidField("sha256", "does not match the stored content") }

// partNumber returns the number of the part at an offset, if a part of that length may be there. limit is the maximum size
// of an object.
func partNumber(o objectRow, offset, length, limit int64) (number int64, err error) {
	end := offset + length
	switch {
	case offset > limit:
		return 0, errTooLarge(limit)
	case offset%o.PartSize != 0:
		return 0, subjects.InvalidField("offset", "must be a multiple of %d", o.PartSize)
	case length == 0 || length > o.PartSize:
		return 0, subjects.InvalidField("content", "must have 1 to %d bytes", o.PartSize)
	case end > limit:
		return 0, errTooLarge(limit)
	case o.Size >= 0 && end > o.Size:
		return 0, subjects.InvalidField("content", "exceeds the %d bytes that were announced", o.Size)
	case o.Size >= 0 && length < o.PartSize && end != o.Size:
		return 0, subjects.InvalidField("content", "must have %d bytes, unless it is the last part", o.PartSize)
	}
	return offset / o.PartSize, nil
}

// checkComplete checks that all parts of an object of that size are stored.
func checkComplete(parts []partRow, partSize, size int64) error {
	offset := int64(0)
	for i, p := range parts {
		if p.Number != int64(i) || p.Stored == 0 || p.Size != min(partSize, size-offset) {
			break
		}
		offset += p.Size
	}
	if offset == size && int64(len(parts)) == (size+partSize-1)/partSize {
		return nil
	}
	return &subjects.Error{
		Code: subjects.CodeConflict, Detail: fmt.Sprintf("the parts do not add up to %d bytes: the part at %d is missing or has another size", size, offset),
		Fields: []subjects.FieldError{{Field: "size", Message: "does not match the stored parts"}},
	}
}

// responseFile takes the name, type and size of the file in a response from its headers and from the address of its request.
func responseFile(header http.Header, address string) uploadSpec {
	spec := uploadSpec{contentType: header.Get("Content-Type"), size: -1}
	address, _, _ = strings.Cut(address, "?")
	last, _ := url.PathUnescape(path.Base(address))
	spec.name = cmp.Or(dispositionName(header), sanitizeName(last))
	if _, _, err := mime.ParseMediaType(spec.contentType); err != nil || len(spec.contentType) > maxObjectText {
		spec.contentType = ""
	}
	if size, err := strconv.ParseInt(header.Get("Content-Length"), 10, 64); err == nil && size >= 0 && header.Get("Content-Encoding") == "" {
		spec.size = size
	}
	return spec
}
