// Package packed compresses texts in SQL with a dictionary of what histories and snapshots consist of.
package packed

import (
	"bytes"
	"database/sql/driver"
	_ "embed"
	"fmt"
	"sync"

	"github.com/klauspost/compress/zstd"
)

// Text is a text that SQL has compressed, if that makes it shorter.
type Text string

// packDictionary has what histories and snapshots consist of: one event of each type, the frequent ones last. It is a part of the
// format: rows that were compressed with it need it, so that another one gets another number, and readers know both.
//
//go:embed packed.dict
var packDictionary []byte

const (
	// packDictionaryID is the dictionary's number in frames (RFC 8878 §3.1.1.1.3).
	packDictionaryID = 1
	// minPacked is the length from which a text is compressed.
	minPacked = 64
	// packWindow bounds the memory of an encoder; maxUnpacked that of a decoder.
	packWindow, maxUnpacked = 512 << 10, 1 << 30
)

// packFrame begins each frame (RFC 8878 §3.1.1), and no JSON.
var packFrame = []byte{0x28, 0xb5, 0x2f, 0xfd}

var packer = sync.OnceValues(func() (*zstd.Encoder, error) {
	return zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderDictRaw(packDictionaryID, packDictionary),
		zstd.WithWindowSize(packWindow), zstd.WithEncoderCRC(false), zstd.WithLowerEncoderMem(true))
})

var unpacker = sync.OnceValues(func() (*zstd.Decoder, error) {
	return zstd.NewReader(nil, zstd.WithDecoderDictRaw(packDictionaryID, packDictionary), zstd.WithDecoderMaxMemory(maxUnpacked),
		zstd.WithDecoderConcurrency(0), zstd.WithDecoderLowmem(true))
})

// Value implements driver.Valuer.
func (p Text) Value() (driver.Value, error) {
	text := []byte(p)
	if len(text) < minPacked && !bytes.HasPrefix(text, packFrame) {
		return text, nil
	}
	encoder, err := packer()
	if err != nil {
		return nil, fmt.Errorf("compressing: %w", err)
	}
	packed := encoder.EncodeAll(text, make([]byte, 0, len(text)/4+minPacked))
	if len(packed) >= len(text) && !bytes.HasPrefix(text, packFrame) {
		return text, nil
	}
	return packed, nil
}

// Scan implements sql.Scanner.
func (p *Text) Scan(value any) error {
	var stored []byte
	switch value := value.(type) {
	case nil:
	case []byte:
		stored = value
	case string:
		stored = []byte(value)
	default:
		return fmt.Errorf("decompressing a %T", value)
	}
	if !bytes.HasPrefix(stored, packFrame) {
		*p = Text(stored)
		return nil
	}
	decoder, err := unpacker()
	if err != nil {
		return fmt.Errorf("decompressing: %w", err)
	}
	text, err := decoder.DecodeAll(stored, nil)
	if err != nil {
		return fmt.Errorf("decompressing: %w", err)
	}
	*p = Text(text)
	return nil
}
