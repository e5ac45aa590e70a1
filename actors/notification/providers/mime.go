package providers

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net/textproto"
	"strings"
)

const (
	// maxParts bounds the parts of a mail that are looked at, maxNesting how deep they may be nested: each level reads its content again.
	maxParts   = 50
	maxNesting = 5
)

// mailPart is a part of a mail that has no parts of its own.
type mailPart struct {
	// kind is its media type in lower case; empty if it has none that can be read.
	kind    string
	content []byte
}

// readMail returns the header of a mail and its parts, as far as they can be read.
func readMail(raw []byte) (textproto.MIMEHeader, []mailPart) {
	head, body := raw, []byte(nil)
	for _, end := range []string{"\r\n\r\n", "\n\n"} {
		if i := bytes.Index(head, []byte(end)); i >= 0 {
			head, body = raw[:i+len(end)], raw[i+len(end):]
		}
	}
	header, _ := textproto.NewReader(bufio.NewReader(bytes.NewReader(head))).ReadMIMEHeader() // what was read before an error counts
	left := maxParts
	return header, readParts(header, body, maxNesting, &left)
}

// readParts returns the parts of a content with a header. Beyond maxNesting and maxParts there are none.
func readParts(header textproto.MIMEHeader, content []byte, levels int, left *int) (parts []mailPart) {
	kind, parameters, _ := mime.ParseMediaType(header.Get("Content-Type"))
	if !strings.HasPrefix(kind, "multipart/") {
		return []mailPart{{kind, decoded(header, content)}}
	}
	if levels == 0 || parameters["boundary"] == "" {
		return nil
	}
	reader := multipart.NewReader(bytes.NewReader(content), parameters["boundary"])
	for ; *left > 0; *left-- {
		p, err := reader.NextRawPart()
		if err != nil {
			return parts
		}
		inner, err := io.ReadAll(p)
		parts = append(parts, readParts(p.Header, inner, levels-1, left)...)
		if err != nil { // the last boundary is missing
			return parts
		}
	}
	return parts
}

// decoded undoes the transfer encoding of a content, up to what is malformed.
func decoded(header textproto.MIMEHeader, content []byte) []byte {
	switch strings.ToLower(strings.TrimSpace(header.Get("Content-Transfer-Encoding"))) {
	case "base64":
		content, _ = io.ReadAll(base64.NewDecoder(base64.StdEncoding, bytes.NewReader(content)))
	case "quoted-printable":
		content, _ = io.ReadAll(quotedprintable.NewReader(bytes.NewReader(content)))
	}
	return content
}
