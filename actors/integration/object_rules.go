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
	"unicode"

	"github.com/weftmesh/weft/subjects"
)

const (
	// objectOverhead is what an object counts for besides its bytes, so that there are not any number of empty ones.
	objectOverhead = 4 << 10

	// maxObjectText bounds a name and a content type, in characters.
	maxObjectText = 255

	defaultObjectName = "file"
	defaultObjectType = "application/octet-stream"
)

// objectSealedFor is what an object's key is sealed for, partSealedFor what a part is: none opens in another's place.
func objectSealedFor(userID, id string) []byte {
	return []byte("integration|" + userID + "|" + id + "|data_key")
}

func partSealedFor(id string, number int64) []byte {
	return []byte("integration|" + id + "|part|" + strconv.FormatInt(number, 10))
}

// partName is a part's name in the object store.
func partName(id string, number int64) string { return id + "." + strconv.FormatInt(number, 10) }

func tooLarge(most int64) error {
	return &subjects.Error{
		Code: subjects.CodeTooLarge, Detail: fmt.Sprintf("a file may have %d bytes", most),
		Fields: []subjects.FieldError{{Field: "size", Message: "is too large"}},
	}
}

func overQuota(most int64) error {
	return &subjects.Error{
		Code: subjects.CodeConflict, Detail: fmt.Sprintf("the file does not fit into the %d bytes that are kept of a user: delete others first", most),
		Fields: []subjects.FieldError{{Field: "size", Message: "does not fit"}},
	}
}

// storeFull is nobody's fault who asks: what ends makes room, at the next sweep or later.
func storeFull(after time.Duration) error {
	return &subjects.Error{Code: subjects.CodeUnavailable, Detail: "there is no room for more files right now", RetryAfter: after}
}

func otherPart() error {
	return &subjects.Error{
		Code: subjects.CodeConflict, Detail: "the object has another content in that place",
		Fields: []subjects.FieldError{{Field: "content", Message: "is not what is stored there"}},
	}
}

// partFits says which part of an object a content is, or why it is none.
func partFits(o objectRow, offset, length, most int64) (number int64, err error) {
	end := offset + length
	switch {
	case offset > most:
		return 0, tooLarge(most)
	case offset%o.PartSize != 0:
		return 0, subjects.InvalidField("offset", "must be a multiple of %d", o.PartSize)
	case length == 0 || length > o.PartSize:
		return 0, subjects.InvalidField("content", "must have 1 to %d bytes", o.PartSize)
	case end > most:
		return 0, tooLarge(most)
	case o.Size >= 0 && end > o.Size:
		return 0, subjects.InvalidField("content", "goes past the %d bytes that were announced", o.Size)
	case o.Size >= 0 && length < o.PartSize && end != o.Size:
		return 0, subjects.InvalidField("content", "must have %d bytes, except of the last part", o.PartSize)
	}
	return offset / o.PartSize, nil
}

// partsMake checks that parts are the whole of a content of that size.
func partsMake(parts []partRow, partSize, size int64) error {
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
		Code: subjects.CodeConflict, Detail: fmt.Sprintf("the parts do not make %d bytes: there is none that fits at %d", size, offset),
		Fields: []subjects.FieldError{{Field: "size", Message: "is not what the parts make"}},
	}
}

// fileOf is what a provider's answer tells of the file that it is, which was asked for at that address.
func fileOf(header http.Header, address string) announced {
	of := announced{contentType: header.Get("Content-Type"), size: -1}
	_, params, _ := mime.ParseMediaType(header.Get("Content-Disposition"))
	address, _, _ = strings.Cut(address, "?")
	last, _ := url.PathUnescape(path.Base(address))
	of.name = cmp.Or(plainName(params["filename"]), plainName(last))
	if _, _, err := mime.ParseMediaType(of.contentType); err != nil || len(of.contentType) > maxObjectText {
		of.contentType = ""
	}
	if size, err := strconv.ParseInt(header.Get("Content-Length"), 10, 64); err == nil && size >= 0 && header.Get("Content-Encoding") == "" {
		of.size = size
	}
	return of
}

// plainName is a name without folders and without what a terminal would obey; "" where nothing is left of it.
func plainName(name string) string {
	name = name[strings.LastIndexAny(name, `/\`)+1:]
	name = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || r == unicode.ReplacementChar {
			return -1
		}
		return r
	}, strings.ToValidUTF8(name, ""))
	if name == "." || name == ".." {
		return ""
	}
	if runes := []rune(name); len(runes) > maxObjectText {
		name = string(runes[:maxObjectText])
	}
	return name
}
