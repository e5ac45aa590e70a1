package gateway

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	byteorder "encoding/binary"
	"fmt"

	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

// eventIDs makes the ids of server-sent events: the encrypted sequence of the message. Sequences count the events of all users, so
// that in the clear they would show how active the platform is. An id belongs to one stream. Every gateway of the mesh, and the same
// one after a restart, makes the same ids, because the key is derived from the gateway's nkey.
type eventIDs struct{ block cipher.Block }

func newEventIDs(conn *mesh.Conn) (eventIDs, error) {
	key, err := conn.DeriveKey("ids of server-sent events")
	if err != nil {
		return eventIDs{}, err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return eventIDs{}, fmt.Errorf("making the cipher of event ids: %w", err)
	}
	return eventIDs{block}, nil
}

// streamTag is the second half of an id's only block.
func streamTag(filter string) []byte {
	sum := sha256.Sum256([]byte(filter))
	return sum[:aes.BlockSize/2]
}

// id returns the id of a message of the stream with a filter.
func (e eventIDs) id(filter string, sequence uint64) string {
	block := append(byteorder.BigEndian.AppendUint64(nil, sequence), streamTag(filter)...)
	e.block.Encrypt(block, block)
	return base64.RawURLEncoding.EncodeToString(block)
}

// sequence returns the sequence that an id has in the stream with a filter. The error is invalid for any other text.
func (e eventIDs) sequence(filter, id string) (uint64, error) {
	block, err := base64.RawURLEncoding.Strict().DecodeString(id)
	if err == nil && len(block) == aes.BlockSize {
		e.block.Decrypt(block, block)
		if subtle.ConstantTimeCompare(block[aes.BlockSize/2:], streamTag(filter)) == 1 {
			return byteorder.BigEndian.Uint64(block), nil
		}
	}
	return 0, subjects.InvalidField("Last-Event-ID", "is not an event id of this stream")
}
