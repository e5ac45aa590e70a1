package integration

import (
	"fmt"
	"strconv"

	"github.com/weftmesh/weft/subjects"
)

const (
	// objectOverhead is what an object counts for besides its bytes, so that there are not any number of empty ones.
	objectOverhead = 4 << 10

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
