package subjects

import "time"

// Bounds of the parts of an object. A part's content travels as base64 in one message.
const (
	// MaxPart is the maximum size of a part in bytes.
	MaxPart = 720 << 10
	// MinPart is the minimum part size that can be configured, in bytes.
	MinPart = 4 << 10
)

// Object is a temporarily stored file. Actions take and return it by its id.
type Object struct {
	ID          string `json:"id"`
	Name        string `json:"name"`
	ContentType string `json:"content_type"`
	State       string `json:"state" enum:"uploading,complete"`
	Size        int64  `json:"size" doc:"In bytes; during the upload the announced size, or 0."`
	SHA256      string `json:"sha256,omitempty" doc:"Hash of the whole content, in hexadecimal."`
	// PartSize is the size of every part but the last.
	PartSize  int64     `json:"part_size" doc:"Size in bytes of the parts in which the content is transferred over NATS; the last part may be shorter."`
	CreatedAt time.Time `json:"created_at"`
	ExpiresAt time.Time `json:"expires_at" doc:"When it is deleted."`
}

// ObjectReference is an object as returned by a call.
type ObjectReference struct {
	ID          string `json:"id"`
	Name        string `json:"name"`
	ContentType string `json:"content_type"`
	Size        int64  `json:"size" doc:"In bytes."`
	SHA256      string `json:"sha256"`
}

// CreateObjectRequest describes the file to upload.
type CreateObjectRequest struct {
	Name        string `json:"name,omitempty" in:"query" minLength:"1" maxLength:"255" pattern:"^[^\\x00-\\x1f\\x7f/\\\\]+$" doc:"The file's name; default \"file\"."`
	ContentType string `json:"content_type,omitempty" in:"header:Content-Type" maxLength:"255" pattern:"^[!-~]+/[ -~]+$" doc:"Default application/octet-stream."`
	Size        *int64 `json:"size,omitempty" in:"header:Content-Length" minimum:"0" doc:"In bytes, if known: a size over a limit is then rejected before the upload."`
	ExpiresIn   int64  `json:"expires_in,omitempty" in:"query" minimum:"60" doc:"Seconds from completion to deletion; default one day unless configured otherwise."`
}

// CreateObject starts an upload. Over HTTP the body is the content; over NATS the parts follow.
var CreateObject = declare(Endpoint[CreateObjectRequest, Object]{
	Subject: "weft.v1.integration.create_object", Route: "POST /v1/objects", Status: 201, Location: "/v1/objects/{id}",
	Access:  Scope(ScopeIntegrationsExecute),
	Body:    Body{Kind: BodyParts, Upload: &Upload{Part: PutObjectPart.Describe(), End: CompleteObject.Describe(), Cancel: DeleteObject.Describe()}},
	Summary: "Upload a file",
	Doc: "Stores a file, so that actions can take it by its id instead of its content. Over HTTP the body is the content, of any " +
		"Content-Type, and the answer comes when it is stored. Over NATS the content follows by put_object_part, and complete_object " +
		"completes it, within an hour unless configured otherwise. Errors: too_large if size exceeds the limit; conflict if it exceeds " +
		"the caller's quota; unavailable if it exceeds the total quota.",
})

// ObjectRequest names an object.
type ObjectRequest struct {
	ObjectID string `json:"object_id" in:"path" format:"uuid"`
}

// PartRequest carries one part of an object.
type PartRequest struct {
	ObjectID string `json:"object_id" format:"uuid"`
	Offset   int64  `json:"offset" minimum:"0" doc:"Offset of the part in the content; a multiple of part_size."`
	Content  []byte `json:"content" doc:"The part's bytes, base64 in JSON."`
}

// PartReceipt confirms a stored part.
type PartReceipt struct {
	ObjectID string `json:"object_id"`
	Offset   int64  `json:"offset"`
	Size     int64  `json:"size"`
}

// PutObjectPart stores a part of an object.
var PutObjectPart = declare(Endpoint[PartRequest, PartReceipt]{
	Subject: "weft.v1.integration.put_object_part", Access: Scope(ScopeIntegrationsExecute), Timeout: 30 * time.Second, Concurrency: 16, ReadOnly: true,
	Summary: "Upload a part of a file",
	Doc: "Stores a part of an object's content, in any order. Repeating a part has no effect; different content at the same offset is a " +
		"conflict. Every part has part_size bytes, the last one the remainder. When the call returns, the part survives a crash.",
})

// EndRequest declares the size and hash of the complete content.
type EndRequest struct {
	ObjectID string `json:"object_id" format:"uuid"`
	Size     int64  `json:"size" minimum:"0" doc:"Size of the whole content, in bytes."`
	SHA256   string `json:"sha256" pattern:"^[0-9a-f]{64}$" doc:"Hash of the whole content, in hexadecimal."`
}

// CompleteObject completes an upload.
var CompleteObject = declare(Endpoint[EndRequest, Object]{
	Subject: "weft.v1.integration.complete_object", Access: Scope(ScopeIntegrationsExecute), Timeout: 2 * time.Minute, Concurrency: 8, ReadOnly: true,
	Summary: "Complete the upload of a file",
	Doc: "Verifies that the parts form content of this size and SHA-256, after which the object can be used. Errors: conflict if a part " +
		"is missing; invalid, naming sha256, if the content differs.",
})

// GetObject returns an object's metadata.
var GetObject = declare(Endpoint[ObjectRequest, Object]{
	Subject: "weft.v1.integration.get_object", Route: "GET /v1/objects/{object_id}", Access: Scope(ScopeIntegrationsRead),
	Summary: "One file", Doc: "Returns the metadata of one of the caller's objects.",
})

// ListObjectsRequest is the request of ListObjects.
type ListObjectsRequest struct{ PageRequest }

// ListObjects lists the caller's objects.
var ListObjects = declare(Endpoint[ListObjectsRequest, Page[Object]]{
	Subject: "weft.v1.integration.list_objects", Route: "GET /v1/objects", Access: Scope(ScopeIntegrationsRead),
	Summary: "My files", Doc: "Lists the caller's objects, newest first.",
})

// ContentRequest names an object and the offset to read from.
type ContentRequest struct {
	ObjectID string `json:"object_id" in:"path" format:"uuid"`
	Offset   int64  `json:"offset,omitempty" in:"part" minimum:"0" doc:"The offset to read from: 0 first, then the end of the previous part."`
}

// ContentPart is a part of an object's content. The gateway assembles a download from parts.
type ContentPart struct {
	Name        string `json:"name"`
	ContentType string `json:"content_type"`
	Size        int64  `json:"size" doc:"Size of the whole content, in bytes."`
	SHA256      string `json:"sha256" doc:"Hash of the whole content, in hexadecimal."`
	Offset      int64  `json:"offset"`
	Content     []byte `json:"content" doc:"As many bytes from offset on as fit into one message, base64 in JSON."`
}

// GetObjectContent reads an object's content.
var GetObjectContent = declare(Endpoint[ContentRequest, ContentPart]{
	Subject: "weft.v1.integration.get_object_content", Route: "GET /v1/objects/{object_id}/content",
	Access: Scope(ScopeIntegrationsExecute), Parts: true, Timeout: 30 * time.Second, Concurrency: 16,
	Summary: "Download a file",
	Doc: "Over HTTP the answer is the content, as a download; Range with a single byte range selects a part of it. Over NATS a reply " +
		"carries as much as fits into one message, from offset on; call again until size is reached.",
})

// DeleteObject deletes an object.
var DeleteObject = declare(Endpoint[ObjectRequest, Empty]{
	Subject: "weft.v1.integration.delete_object", Route: "DELETE /v1/objects/{object_id}", Access: Scope(ScopeIntegrationsExecute),
	Timeout: 30 * time.Second,
	Summary: "Delete a file", Doc: "Deletes one of the caller's objects, complete or not, with its content.",
})
