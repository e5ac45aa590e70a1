package subjects

import (
	"cmp"
	"fmt"
	"net/http"
	"reflect"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
)

// Defaults for fields that an endpoint leaves unset, and their bounds.
const (
	// DefaultTimeout bounds the handling of one request.
	DefaultTimeout = 10 * time.Second
	// DefaultConcurrency is how many requests of one endpoint a process handles at a time.
	DefaultConcurrency = 64
	// MaxTimeout is the upper bound of Endpoint.Timeout.
	MaxTimeout = 5 * time.Minute
)

// Endpoint declares one request/reply subject: its types, who may call it and its HTTP route. Create one with declare,
// which validates it and adds it to the catalogue.
type Endpoint[Req, Res any] struct {
	// Subject is weft.v1.<actor>.<method>.
	Subject string
	// Route is "METHOD /path/{field}"; empty keeps the endpoint off HTTP. "{field...}" at its end takes the rest of the path.
	Route string
	// Access says who may call. With the zero value nobody may.
	Access Access
	// Limits are the endpoint's own rate limits. The gateway enforces them in addition to the general ones.
	Limits []Limit
	// Summary is one line. Doc is the contract: meaning, errors, and the standard that a rule comes from.
	Summary, Doc string
	// Status is the HTTP status of success. Default: 200, or 204 if Res is Empty.
	Status int
	// Body says how an HTTP body is mapped to the request. Default: BodyJSON.
	Body Body
	// Location is the HTTP Location header; {field} is replaced by that field of the reply.
	Location string
	// Tag is the reply field with the version that changes whenever the reply does: an integer. The HTTP ETag is made of it, and a GET with
	// If-None-Match is answered with 304.
	Tag string
	// Produces is a content type other than JSON. Res must then be Document.
	Produces string
	// AlsoProduces is another content type that the Document may have.
	AlsoProduces string
	// Stream makes the HTTP response server-sent events. Res must then be StreamPointer.
	Stream bool
	// Parts makes the HTTP response a download, which the gateway requests part by part. Req must then be
	// ContentRequest, and Res ContentPart.
	Parts bool
	// Consent is the scope that the user must have consented to. The handler checks it with the guard immediately
	// before it acts.
	Consent string
	// Timeout bounds the handling of a request. Default: DefaultTimeout; at most MaxTimeout.
	Timeout time.Duration
	// Concurrency bounds how many requests a process handles at a time. Default: DefaultConcurrency.
	Concurrency int
	// MaxMessage bounds a request in bytes. Default: what the schema's lengths allow, from MinMessage to MaxMessage.
	MaxMessage int64
	// Secret names reply fields that a replay under an Idempotency-Key omits.
	Secret []string
	// ReadOnly marks a POST without side effects, or one that is idempotent by itself. It takes no Idempotency-Key.
	ReadOnly bool
	// Origin passes the client's address and user agent on to the actor.
	Origin bool
	// GPC passes the client's Global Privacy Control signal on to the actor.
	GPC bool
	// Cancellable lets a service that gives a request up end the handling of it, on CancelSubject.
	Cancellable bool
	// OwnLimits replaces the general limit per address by Limits, for callers that are machines with few addresses.
	OwnLimits bool
	// IgnoreUnknown makes unknown fields be ignored rather than refused, for requests that a third party may extend.
	IgnoreUnknown bool
	// Cookie makes the gateway store a field of the reply as a cookie, to be read by a request field `in:"cookie:…"`.
	Cookie *Cookie

	desc *Descriptor
}

// Cookie is a reply field that the gateway sets as a cookie: HttpOnly, SameSite=Lax and host-only; over TLS also Secure and
// with the prefix __Host- before Name.
type Cookie struct {
	Name, Field string
	MaxAge      time.Duration
}

// Empty is a request or reply without fields.
type Empty struct{}

// Document is the reply of an endpoint with Produces.
type Document struct {
	ContentType string `json:"content_type"`
	Body        []byte `json:"body" doc:"The document, base64 in JSON."`
	Filename    string `json:"filename,omitempty"`
	// Status and Headers serve answers whose form a third party prescribes, such as a webhook handshake.
	Status  int               `json:"status,omitempty" doc:"The HTTP status, if it differs from the endpoint's."`
	Headers map[string]string `json:"headers,omitempty" doc:"HTTP headers of the response."`
}

// StreamPointer is the reply of an endpoint with Stream: where in JetStream the gateway reads the events.
type StreamPointer struct {
	Stream   string `json:"stream"`
	Filter   string `json:"filter" doc:"The subject to read."`
	Sequence uint64 `json:"sequence" doc:"The first stream sequence to deliver; 0 delivers only new messages."`
	// Until lists the event names after which the stream ends.
	Until []string `json:"until,omitempty" doc:"Event names after which the stream ends."`
	// Initial are sent before the events of the stream.
	Initial []InitialEvent `json:"initial,omitempty"`
}

// InitialEvent is a server-sent event that precedes those of the stream.
type InitialEvent struct {
	Event string `json:"event"`
	Data  any    `json:"data"`
}

// BodyKind says how an HTTP body is mapped to the request message.
type BodyKind string

// The body kinds.
const (
	// BodyJSON: the body is the request object.
	BodyJSON BodyKind = ""
	// BodyJSONOrYAML: as BodyJSON; an application/yaml body becomes a string in Body.Field.
	BodyJSONOrYAML BodyKind = "json_or_yaml"
	// BodyRaw: the bytes become base64 in Body.Field, the HTTP headers an object in "headers": all, or those of Body.Headers.
	BodyRaw BodyKind = "raw"
	// BodyForm: the fields of an application/x-www-form-urlencoded body become fields of the request; JSON is accepted too.
	BodyForm BodyKind = "form"
	// BodyParts: a body of any length is sent on in parts as Body.Upload says, after the request itself is answered.
	BodyParts BodyKind = "parts"
)

// Body is a body kind and the request field that it fills.
type Body struct {
	Kind  BodyKind
	Field string
	// Headers are the canonical names of the HTTP headers that a BodyRaw request takes, all if empty. A name that ends in "-"
	// stands for every header with that prefix.
	Headers []string
	// Upload is required for BodyParts.
	Upload *Upload
}

// Upload lists the endpoints that receive a body in parts, after an endpoint whose reply has the object's id and its
// part_size: Part for each part, End after the last one, whose reply becomes the HTTP response, and Cancel if the body breaks off.
type Upload struct{ Part, End, Cancel *Descriptor }

// Field is one field of a request as mapped to HTTP.
type Field struct {
	Name string
	// In is "path", "query", "header", "cookie" or "body"; "raw_query", the undecoded query string; or "part", set by
	// the gateway when it requests one part after another.
	In string
	// Header is the name of the header or cookie if In is "header" or "cookie".
	Header   string
	Required bool
	Schema   *huma.Schema
}

// Descriptor is an endpoint without its type parameters, for the gateway, the runtime and the generators.
type Descriptor struct {
	Actor, Method             string
	Subject                   string
	HTTPMethod, Path          string
	Access                    Access
	Limits                    []Limit
	Summary, Doc              string
	Status                    int
	Body                      Body
	Location, Tag             string
	Produces, AlsoProduces    string
	Stream, Parts             bool
	Consent                   string
	Timeout                   time.Duration
	Concurrency               int
	MaxMessage                int64
	Secret                    []string
	Mutating                  bool
	Origin                    bool
	GPC                       bool
	Cancellable               bool
	OwnLimits                 bool
	IgnoreUnknown             bool
	Cookie                    *Cookie
	Fields                    []Field
	Request, Response         *huma.Schema
	RequestType, ResponseType reflect.Type
	name                      string
}

// Name is "<actor>.<method>".
func (d *Descriptor) Name() string {
	if d.name != "" {
		return d.name
	}
	return d.Actor + "." + d.Method
}

// catalogue holds every declared endpoint in the order of declaration.
var catalogue []*Descriptor

// Endpoints returns every declared endpoint. The caller must not modify the slice.
func Endpoints() []*Descriptor { return catalogue }

// Describe returns the endpoint without its type parameters.
func (e Endpoint[Req, Res]) Describe() *Descriptor { return e.desc }

// Decode validates a message and decodes it. The error is an *Error with CodeInvalid.
func (e Endpoint[Req, Res]) Decode(data []byte) (Req, error) {
	var req Req
	if len(data) == 0 && len(e.desc.Fields) == 0 {
		return req, nil
	}
	if err := e.desc.Validate(data); err != nil {
		return req, err
	}
	return req, decodeInto(data, &req)
}

// declare validates e, derives its schemas and adds it to the catalogue. It panics if the declaration is invalid, which
// is a programming error.
func declare[Req, Res any](e Endpoint[Req, Res]) Endpoint[Req, Res] {
	actor, method, ok := splitSubject(e.Subject)
	if !ok {
		panic("subjects: " + e.Subject + " does not have the form weft.v1.<actor>.<method>")
	}
	d := &Descriptor{
		Actor: actor, Method: method, Subject: e.Subject, Access: e.Access, Limits: e.Limits,
		Summary: e.Summary, Doc: e.Doc, Status: e.Status, Body: e.Body, Location: e.Location, Tag: e.Tag,
		Produces: e.Produces, AlsoProduces: e.AlsoProduces, Stream: e.Stream, Parts: e.Parts, Consent: e.Consent, Timeout: e.Timeout,
		Concurrency: e.Concurrency, Secret: e.Secret, Origin: e.Origin, GPC: e.GPC, OwnLimits: e.OwnLimits, IgnoreUnknown: e.IgnoreUnknown, Cookie: e.Cookie,
		Cancellable: e.Cancellable, MaxMessage: e.MaxMessage,
		RequestType: reflect.TypeFor[Req](), ResponseType: reflect.TypeFor[Res](), name: actor + "." + method,
	}
	if e.Route != "" {
		d.HTTPMethod, d.Path, ok = strings.Cut(e.Route, " ")
		if !ok {
			panic("subjects: route of " + e.Subject + " does not have the form METHOD /path")
		}
	}
	d.Mutating = d.HTTPMethod != http.MethodGet && !e.ReadOnly
	d.fillDefaults()
	d.Request, d.Response = requestSchema(d.RequestType), replySchema(d.ResponseType, d.Secret)
	if d.IgnoreUnknown {
		resolve(d.Request).AdditionalProperties = true
	}
	d.MaxMessage = cmp.Or(d.MaxMessage, max(MinMessage, maxMessageOf(d.Request, MaxMessage)))
	d.Fields = fieldsOf(d.RequestType, d.Request)
	d.check()
	catalogue = append(catalogue, d)
	e.desc = d
	return e
}

func (d *Descriptor) fillDefaults() {
	if d.Status == 0 {
		d.Status = http.StatusOK
		if d.ResponseType == reflect.TypeFor[Empty]() {
			d.Status = http.StatusNoContent
		}
	}
	if d.Timeout == 0 {
		d.Timeout = DefaultTimeout
	}
	if d.Concurrency == 0 {
		d.Concurrency = DefaultConcurrency
	}
	if d.Summary == "" {
		d.Summary, _, _ = strings.Cut(d.Doc, ". ")
		d.Summary = strings.TrimSuffix(d.Summary, ".")
	}
}

func (d *Descriptor) check() {
	fail := func(format string, args ...any) {
		panic("subjects: " + d.Subject + ": " + fmt.Sprintf(format, args...))
	}
	if d.Doc == "" {
		fail("no Doc")
	}
	if d.Timeout > MaxTimeout {
		fail("timeout %s exceeds %s", d.Timeout, MaxTimeout)
	}
	if d.Stream != (d.ResponseType == reflect.TypeFor[StreamPointer]()) {
		fail("Stream requires a StreamPointer reply, and vice versa")
	}
	if (d.Produces != "") != (d.ResponseType == reflect.TypeFor[Document]()) {
		fail("Produces requires a Document reply, and vice versa")
	}
	if d.Parts != (d.ResponseType == reflect.TypeFor[ContentPart]()) || d.Parts != (d.RequestType == reflect.TypeFor[ContentRequest]()) {
		fail("Parts requires a ContentRequest and a ContentPart reply, and vice versa")
	}
	if (d.Body.Kind == BodyParts) != (d.Body.Upload != nil) {
		fail("BodyParts requires an Upload, and vice versa")
	}
	if u := d.Body.Upload; u != nil && (u.Part.RequestType != reflect.TypeFor[PartRequest]() ||
		u.End.RequestType != reflect.TypeFor[EndRequest]() || u.Cancel.RequestType != reflect.TypeFor[ObjectRequest]()) {
		fail("Upload requires endpoints that take a PartRequest, an EndRequest and an ObjectRequest")
	}
	if d.OwnLimits && len(d.Limits) == 0 {
		fail("OwnLimits without Limits")
	}
	if d.Cookie != nil && resolve(d.Response).Properties[d.Cookie.Field] == nil {
		fail("cookie field %s is not in the reply", d.Cookie.Field)
	}
	if d.Tag != "" && (d.Produces != "" || resolve(d.Response).Properties[d.Tag] == nil || resolve(d.Response).Properties[d.Tag].Type != huma.TypeInteger) {
		fail("tag field %s is not an integer of the reply", d.Tag)
	}
	for _, f := range d.Fields {
		if (f.In == "path") != (strings.Contains(d.Path, "{"+f.Name+"}") || strings.HasSuffix(d.Path, "{"+f.Name+"...}")) {
			fail("field %s must be in the path if and only if the route names it", f.Name)
		}
	}
	for _, other := range catalogue {
		if other.Subject == d.Subject {
			fail("subject is already declared")
		}
		if d.Path != "" && other.Path == d.Path && other.HTTPMethod == d.HTTPMethod {
			fail("route is already declared by %s", other.Subject)
		}
	}
}

func fieldsOf(t reflect.Type, schema *huma.Schema) []Field {
	var fields []Field
	for _, f := range reflect.VisibleFields(t) {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if f.Anonymous || name == "" || name == "-" {
			continue
		}
		field := Field{Name: name, In: "body", Schema: resolve(schema).Properties[name]}
		if in := f.Tag.Get("in"); in != "" {
			field.In, field.Header, _ = strings.Cut(in, ":")
		}
		for _, r := range resolve(schema).Required {
			field.Required = field.Required || r == name
		}
		fields = append(fields, field)
	}
	return fields
}
