package subjects

import "time"

// The bounds of parts. A part's content travels as base64 within one message.
const (
	// MaxPart is the largest part, in bytes.
	MaxPart = 720 << 10
	// MinPart is the smallest that a part size may be set to.
	MinPart = 4 << 10
)

// Object is a file that is kept for a while: actions take it and yield it by its id.
type Object struct {
	ID          string `json:"id"`
	Name        string `json:"name"`
	ContentType string `json:"content_type"`
	State       string `json:"state" enum:"uploading,complete"`
	Size        int64  `json:"size" doc:"In bytes; while it is uploaded, what was announced, or 0."`
	SHA256      string `json:"sha256,omitempty" doc:"Of the whole content, in hexadecimal."`
	// PartSize is how long every part but the last is.
	PartSize  int64     `json:"part_size" doc:"Over NATS the content goes in parts of this many bytes; the last may be shorter."`
	CreatedAt time.Time `json:"created_at"`
	ExpiresAt time.Time `json:"expires_at" doc:"When it is deleted."`
}

// ObjectReference is an object as a call yields it.
type ObjectReference struct {
	ID          string `json:"id"`
	Name        string `json:"name"`
	ContentType string `json:"content_type"`
	Size        int64  `json:"size" doc:"In bytes."`
	SHA256      string `json:"sha256"`
}

// CreateObjectRequest announces a file.
type CreateObjectRequest struct {
	Name        string `json:"name,omitempty" in:"query" minLength:"1" maxLength:"255" pattern:"^[^\\x00-\\x1f\\x7f/\\\\]+$" doc:"The file's name; file unless given."`
	ContentType string `json:"content_type,omitempty" in:"header:Content-Type" maxLength:"255" pattern:"^[!-~]+/[ -~]+$" doc:"application/octet-stream unless given."`
	Size        *int64 `json:"size,omitempty" in:"header:Content-Length" minimum:"0" doc:"In bytes, where it is known: what would be refused is then refused at once."`
	ExpiresIn   int64  `json:"expires_in,omitempty" in:"query" minimum:"60" doc:"Seconds until it is deleted, from when it is complete; a day unless configured otherwise."`
}

// CreateObject takes a file. Over HTTP the body is its content; over NATS the parts follow.
var CreateObject = declare(Endpoint[CreateObjectRequest, Object]{
	Subject: "weft.v1.integration.create_object", Route: "POST /v1/objects", Status: 201, Location: "/v1/objects/{id}",
	Access:  Scope(ScopeIntegrationsExecute),
	Body:    Body{Kind: BodyParts, Upload: &Upload{Part: PutObjectPart.Describe(), End: CompleteObject.Describe(), Cancel: DeleteObject.Describe()}},
	Summary: "Upload a file",
	Doc: "Takes a file that actions take by its id, in the place of its content. Over HTTP the body is the content, of whatever " +
		"Content-Type; the answer comes once it is stored. Over NATS the content follows by put_object_part, and complete_object ends it, " +
		"within an hour unless configured otherwise. Errors: too_large, where size is past the limit; conflict, where it does not fit into " +
		"what the caller may keep; unavailable, where it does not fit into what is kept of all.",
})

// ObjectRequest names an object.
type ObjectRequest struct {
	ObjectID string `json:"object_id" in:"path" format:"uuid"`
}

// PartRequest carries one part of a content.
type PartRequest struct {
	ObjectID string `json:"object_id" format:"uuid"`
	Offset   int64  `json:"offset" minimum:"0" doc:"Where in the content the part begins: a multiple of part_size."`
	Content  []byte `json:"content" doc:"The part's bytes, base64 in JSON."`
}

// PartReceipt says what is stored.
type PartReceipt struct {
	ObjectID string `json:"object_id"`
	Offset   int64  `json:"offset"`
	Size     int64  `json:"size"`
}

// PutObjectPart stores one part.
var PutObjectPart = declare(Endpoint[PartRequest, PartReceipt]{
	Subject: "weft.v1.integration.put_object_part", Access: Scope(ScopeIntegrationsExecute), Timeout: 30 * time.Second, Concurrency: 16, ReadOnly: true,
	Summary: "Upload a part of a file",
	Doc: "Stores a part of an object's content, in any order. The same part once more changes nothing; another content in its place is a conflict. " +
		"Every part has part_size bytes, and the last one the rest. Once it is answered the part survives a crash.",
})

// EndRequest says what the parts make.
type EndRequest struct {
	ObjectID string `json:"object_id" format:"uuid"`
	Size     int64  `json:"size" minimum:"0" doc:"Of the whole content, in bytes."`
	SHA256   string `json:"sha256" pattern:"^[0-9a-f]{64}$" doc:"Of the whole content, in hexadecimal."`
}

// CompleteObject ends an upload.
var CompleteObject = declare(Endpoint[EndRequest, Object]{
	Subject: "weft.v1.integration.complete_object", Access: Scope(ScopeIntegrationsExecute), Timeout: 2 * time.Minute, Concurrency: 8, ReadOnly: true,
	Summary: "End the upload of a file",
	Doc: "Checks that the parts make a content of this size and SHA-256, and has the object be used from then on. Errors: conflict, where a part is " +
		"missing; invalid, naming sha256, where the content is another.",
})

// GetObject tells what an object is.
var GetObject = declare(Endpoint[ObjectRequest, Object]{
	Subject: "weft.v1.integration.get_object", Route: "GET /v1/objects/{object_id}", Access: Scope(ScopeIntegrationsRead),
	Summary: "One file", Doc: "Tells what one of the caller's objects is, not its content.",
})

// ListObjectsRequest pages.
type ListObjectsRequest struct{ PageRequest }

// ListObjects lists the caller's objects.
var ListObjects = declare(Endpoint[ListObjectsRequest, Page[Object]]{
	Subject: "weft.v1.integration.list_objects", Route: "GET /v1/objects", Access: Scope(ScopeIntegrationsRead),
	Summary: "My files", Doc: "Lists the caller's objects, newest first.",
})

// ContentRequest asks for a content from somewhere on.
type ContentRequest struct {
	ObjectID string `json:"object_id" in:"path" format:"uuid"`
	Offset   int64  `json:"offset,omitempty" in:"part" minimum:"0" doc:"Where to read on: 0, and then past what has come."`
}

// ContentPart is a piece of a content: what the gateway streams an answer of.
type ContentPart struct {
	Name        string `json:"name"`
	ContentType string `json:"content_type"`
	Size        int64  `json:"size" doc:"Of the whole content, in bytes."`
	SHA256      string `json:"sha256" doc:"Of the whole content, in hexadecimal."`
	Offset      int64  `json:"offset"`
	Content     []byte `json:"content" doc:"The bytes from offset on, as many as one message takes, base64 in JSON."`
}

// GetObjectContent reads a content.
var GetObjectContent = declare(Endpoint[ContentRequest, ContentPart]{
	Subject: "weft.v1.integration.get_object_content", Route: "GET /v1/objects/{object_id}/content",
	Access: Scope(ScopeIntegrationsExecute), Parts: true, Timeout: 30 * time.Second, Concurrency: 16,
	Summary: "Download a file",
	Doc: "Over HTTP the answer is the content, as a download; Range with one range of bytes reads a piece of it. Over NATS a reply carries as much as " +
		"one message takes, from offset on: ask again until size is reached.",
})

// DeleteObject deletes an object.
var DeleteObject = declare(Endpoint[ObjectRequest, Empty]{
	Subject: "weft.v1.integration.delete_object", Route: "DELETE /v1/objects/{object_id}", Access: Scope(ScopeIntegrationsExecute),
	Timeout: 30 * time.Second,
	Summary: "Delete a file", Doc: "Deletes one of the caller's objects, complete or not, with its content.",
})
