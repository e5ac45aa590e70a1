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

// Object is a stored file that is sent in a request body. It is streamed.
type Object struct {
	// Name and ContentType are the defaults for requests that do not set them.
	Name, ContentType string
	// Size is in bytes.
	Size int64
	// SHA256 is the hexadecimal digest of the content, for signatures.
	SHA256 string
	// Open returns a reader that starts at the first byte. It is called once per attempt.
	Open func(ctx context.Context) io.ReadCloser
}

// objectFinder is the type of Call.Object.
type objectFinder = func(key string) (*Object, error)

// objectError marks an error of Call.Object, which Request returns unchanged.
type objectError struct{ error }

func (e objectError) Unwrap() error { return e.error }

var errNoObjects = errors.New("no object store is available")

// findObject returns the object whose key the expression yields; nil if it yields none.
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

// content is a request body: a sequence of bytes and objects.
type content struct {
	contentType string
	pieces      []piece
	// ownType means that the request's header Content-Type is replaced by contentType, which names the boundary of the parts.
	ownType bool
}

// piece is a part of a body: either data or an object.
type piece struct {
	data   []byte
	object *Object
}

func bytesOf(data []byte, contentType string) content {
	return content{contentType: contentType, pieces: []piece{{data: data}}}
}

// setBody sets the body of a request: as bytes, or as a stream if the content has an object.
func (c content) setBody(r *Request) {
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

// digest returns the hexadecimal SHA-256 of the content. It is not known for an object combined with other pieces.
func (c content) digest() (string, error) {
	var whole []byte
	for _, p := range c.pieces {
		if p.object != nil {
			if len(c.pieces) > 1 {
				return "", errors.New("a signed body cannot combine an object with other content")
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

// contentReader reads pieces in sequence. It opens each object when it reaches it.
type contentReader struct {
	ctx     context.Context
	rest    []piece
	current io.ReadCloser
}

// Read implements io.Reader.
func (r *contentReader) Read(p []byte) (int, error) {
	for {
		if r.current == nil {
			if len(r.rest) == 0 {
				return 0, io.EOF
			}
			r.current, r.rest = r.rest[0].open(r.ctx), r.rest[1:]
		}
		n, err := r.current.Read(p)
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
	if r.current == nil {
		return nil
	}
	err := r.current.Close()
	r.current = nil
	return err
}

func (p piece) open(ctx context.Context) io.ReadCloser {
	if p.object != nil {
		return p.object.Open(ctx)
	}
	return io.NopCloser(bytes.NewReader(p.data))
}
