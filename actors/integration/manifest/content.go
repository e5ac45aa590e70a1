package manifest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"

	"github.com/weftmesh/weft/actors/egress"
)

// Object is a stored file that a body is made of. It is read while it is sent.
type Object struct {
	// Name and ContentType stand where the manifest yields none.
	Name, ContentType string
	Size              int64
	// SHA256 is of the whole, in hexadecimal, for what signs a body.
	SHA256 string
	// Open begins at the first byte, as often as it is asked.
	Open func(ctx context.Context) io.ReadCloser
}

// objectFinder is Call.Object.
type objectFinder = func(key string) (*Object, error)

// objectError is what a Call's Object says of a key: the caller's own words, which Request hands back.
type objectError struct{ error }

func (e objectError) Unwrap() error { return e.error }

var errNoObjects = errors.New("there is no object store here")

// findObject is the object whose key the expression yields, or nil.
func findObject(s *scope, key *tree, objects objectFinder) (*Object, error) {
	name, err := key.evalString(s)
	if err != nil || name == "" {
		return nil, err
	}
	if objects == nil {
		return nil, errNoObjects
	}
	object, err := objects(name)
	if err != nil {
		return nil, objectError{err}
	}
	return object, nil
}

// content is a request's body: bytes, with objects among them.
type content struct {
	contentType string
	pieces      []piece
}

// piece is one of data and object.
type piece struct {
	data   []byte
	object *Object
}

func bytesOf(data []byte, contentType string) content {
	return content{contentType: contentType, pieces: []piece{{data: data}}}
}

// into puts the content into a request: as bytes, or where there is an object as a source.
func (c content) into(r *Request) {
	if c.contentType != "" {
		r.Header.Set("Content-Type", c.contentType)
	}
	size, streamed := int64(0), false
	for _, p := range c.pieces {
		size += p.size()
		streamed = streamed || p.object != nil
	}
	if streamed {
		r.Source = &egress.Source{Size: size, Open: c.open}
		return
	}
	if len(c.pieces) == 1 {
		r.Body = c.pieces[0].data
		return
	}
	for _, p := range c.pieces {
		r.Body = append(r.Body, p.data...)
	}
}

func (p piece) size() int64 {
	if p.object != nil {
		return p.object.Size
	}
	return int64(len(p.data))
}

// digest is the SHA-256 of the whole, in hexadecimal. It is known of bytes, and of one object.
func (c content) digest() (string, error) {
	var whole []byte
	for _, p := range c.pieces {
		if p.object != nil {
			if len(c.pieces) > 1 {
				return "", errors.New("a body that is signed holds an object, or no object")
			}
			return p.object.SHA256, nil
		}
		whole = append(whole, p.data...)
	}
	sum := sha256.Sum256(whole)
	return hex.EncodeToString(sum[:]), nil
}

func (c content) open(ctx context.Context) io.ReadCloser {
	return &contentReader{ctx: ctx, rest: c.pieces}
}

// contentReader reads one piece after the other, and opens an object when its turn has come.
type contentReader struct {
	ctx  context.Context
	rest []piece
	now  io.ReadCloser
}

// Read implements io.Reader.
func (r *contentReader) Read(p []byte) (int, error) {
	for {
		if r.now == nil {
			if len(r.rest) == 0 {
				return 0, io.EOF
			}
			r.now, r.rest = r.rest[0].open(r.ctx), r.rest[1:]
		}
		n, err := r.now.Read(p)
		if err != io.EOF {
			return n, err
		}
		if err := r.Close(); err != nil || n > 0 {
			return n, err
		}
	}
}

// Close implements io.Closer.
func (r *contentReader) Close() error {
	if r.now == nil {
		return nil
	}
	err := r.now.Close()
	r.now = nil
	return err
}

func (p piece) open(ctx context.Context) io.ReadCloser {
	if p.object != nil {
		return p.object.Open(ctx)
	}
	return io.NopCloser(bytes.NewReader(p.data))
}
