package subjects

import (
	"fmt"
	"net/http"
	"reflect"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
)

// Defaults of what an endpoint leaves open.
const (
	// DefaultTimeout bounds the handling of a request whose endpoint names no other bound.
	DefaultTimeout = 10 * time.Second
	// DefaultConcurrency is how many requests of one endpoint a process handles at once.
	DefaultConcurrency = 64
	// MaxTimeout is the longest that any endpoint may handle a request.
	MaxTimeout = 5 * time.Minute
)

// Endpoint declares one request/reply subject: what it takes, what it answers, who may call it and
// how HTTP reaches it. Make one with declare, which checks it and adds it to the catalogue.
type Endpoint[Req, Res any] struct {
	// Subject is weft.v1.<actor>.<method>.
	Subject string
	// Route is "METHOD /path/{field}"; empty keeps the endpoint off HTTP.
	Route string
	// Access says who may call. The zero value is nobody.
	Access Access
	// Limits are the endpoint's own rate limits, enforced by the gateway beside the general ones.
	Limits []Limit
	// Summary is one line, Doc the contract: meaning, errors, and the standard a rule comes from.
	Summary, Doc string
	// Status is the HTTP status of success: 200 unless set, 204 where Res is Empty.
	Status int
	// Body is how an HTTP body becomes the request; BodyJSON unless set.
	Body Body
	// Location is the HTTP Location header, with {field} replaced from the reply.
	Location string
	// Produces is another content type than JSON; Res is then Document.
	Produces string
	// Stream makes the HTTP answer server-sent events; Res is then StreamPointer.
	Stream bool
	// Parts makes the HTTP answer a download that the gateway asks for part by part; Req is then
	// ContentRequest and Res ContentPart.
	Parts bool
	// Consent is the scope that the user must have consented to. The handler checks it with the guard
	// at the moment of starting.
	Consent string
	// Timeout bounds the handling: DefaultTimeout unless set, at most MaxTimeout.
	Timeout time.Duration
	// Concurrency bounds how many requests a process handles at once: DefaultConcurrency unless set.
	Concurrency int
	// Secret names reply fields that a replay under an Idempotency-Key leaves out.
	Secret []string
	// ReadOnly marks a POST that changes nothing, or what is the same however often it is asked: it takes no Idempotency-Key.
	ReadOnly bool
	// Origin passes the caller's address and user agent on to the actor.
	Origin bool
	// OwnLimits has Limits take the place of the general limit per address: callers are machines of few addresses.
	OwnLimits bool
	// Cookie has the gateway keep a field of the reply in the caller's browser, for a later request's `in:"cookie:…"`.
	Cookie *Cookie

	desc *Descriptor
}

// Cookie is a reply's field that the gateway sets as a cookie: HttpOnly, SameSite=Lax, for this host alone, and
// over TLS Secure and under the name __Host-Name.
type Cookie struct {
	Name, Field string
	MaxAge      time.Duration
}

// Empty is a request or reply without content.
type Empty struct{}

// Document is the reply of an endpoint with Produces.
type Document struct {
	ContentType string `json:"content_type"`
	Body        []byte `json:"body" doc:"The document, base64 in JSON."`
	Filename    string `json:"filename,omitempty"`
	// Status and Headers are for answers whose form somebody else prescribes, such as a webhook's handshake.
	Status  int               `json:"status,omitempty" doc:"The HTTP status, where it is not the endpoint's usual one."`
	Headers map[string]string `json:"headers,omitempty" doc:"HTTP headers of the answer."`
}

// StreamPointer is the reply of an endpoint with Stream: where the gateway reads on.
type StreamPointer struct {
	Stream   string `json:"stream"`
	Filter   string `json:"filter" doc:"The subject to read."`
	Sequence uint64 `json:"sequence" doc:"The first stream sequence to deliver; 0 delivers what is new from now on."`
	// Until names the CloudEvents-like event names after which the stream ends.
	Until []string `json:"until,omitempty" doc:"Event names after which the stream ends."`
	// Initial are events sent before those of the stream.
	Initial []InitialEvent `json:"initial,omitempty"`
}

// InitialEvent is one server-sent event that precedes a stream.
type InitialEvent struct {
	Event string `json:"event"`
	Data  any    `json:"data"`
}

// BodyKind is how an HTTP body becomes the request message.
type BodyKind string

// The body kinds.
const (
	// BodyJSON: the body is the request object.
	BodyJSON BodyKind = ""
	// BodyJSONOrYAML: as BodyJSON, and an application/yaml body goes as text into Body.Field.
	BodyJSONOrYAML BodyKind = "json_or_yaml"
	// BodyRaw: the bytes go base64 into Body.Field, the HTTP headers as an object into "headers".
	BodyRaw BodyKind = "raw"
	// BodyForm: an application/x-www-form-urlencoded body's fields are the request's; JSON works too.
	BodyForm BodyKind = "form"
	// BodyParts: the bytes, however many, go on part by part as Body.Upload says, once the request itself is answered.
	BodyParts BodyKind = "parts"
)

// Body is a body kind and the request field it fills.
type Body struct {
	Kind  BodyKind
	Field string
	// Upload is where BodyParts go.
	Upload *Upload
}

// Upload are the endpoints that take a body in parts, after one whose reply names the object's id and its part_size: Part
// for each, End after the last, whose reply is the answer, and Cancel where the body does not come to its end.
type Upload struct{ Part, End, Cancel *Descriptor }

// Limit is one rate limit of an endpoint.
type Limit struct {
	// By is "ip" or "user".
	By string
	// Requests is how many are admitted in each fixed window of Period.
	Requests int
	Period   time.Duration
}

// PerIP limits each client address.
func PerIP(requests int, period time.Duration) Limit { return Limit{"ip", requests, period} }

// PerUser limits each signed-in user.
func PerUser(requests int, period time.Duration) Limit { return Limit{"user", requests, period} }

// Field is one field of a request as HTTP sees it.
type Field struct {
	Name string
	// In is "path", "query", "header", "cookie", "body", "raw_query": the whole query as it came, or "part": what the gateway
	// sets by itself as it goes from part to part.
	In string
	// Header is the header's name where In is "header", the cookie's where it is "cookie".
	Header   string
	Required bool
	Schema   *huma.Schema
}

// Descriptor is an endpoint with its types erased: what the gateway, the runtime and the generators read.
type Descriptor struct {
	Actor, Method             string
	Subject                   string
	HTTPMethod, Path          string
	Access                    Access
	Limits                    []Limit
	Summary, Doc              string
	Status                    int
	Body                      Body
	Location                  string
	Produces                  string
	Stream, Parts             bool
	Consent                   string
	Timeout                   time.Duration
	Concurrency               int
	Secret                    []string
	Mutating                  bool
	Origin                    bool
	OwnLimits                 bool
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

// catalogue holds every declared endpoint, in declaration order within a file.
var catalogue []*Descriptor

// Endpoints lists every endpoint.
func Endpoints() []*Descriptor { return catalogue }

// Describe returns the endpoint with its types erased.
func (e Endpoint[Req, Res]) Describe() *Descriptor { return e.desc }

// Decode validates a message and decodes it; the error is a *Error with CodeInvalid.
func (e Endpoint[Req, Res]) Decode(data []byte) (Req, error) {
	var req Req
	if len(data) == 0 && len(e.desc.Fields) == 0 {
		return req, nil // nothing was asked for, and nothing was given
	}
	if err := e.desc.Validate(data); err != nil {
		return req, err
	}
	return req, decodeInto(data, &req)
}

// declare checks e, derives its schemas and adds it to the catalogue. It panics on a faulty
// declaration: that is a fault of the program, found by any test.
func declare[Req, Res any](e Endpoint[Req, Res]) Endpoint[Req, Res] {
	actor, method, ok := splitSubject(e.Subject)
	if !ok {
		panic("subjects: " + e.Subject + " is not weft.v1.<actor>.<method>")
	}
	d := &Descriptor{
		Actor: actor, Method: method, Subject: e.Subject, Access: e.Access, Limits: e.Limits,
		Summary: e.Summary, Doc: e.Doc, Status: e.Status, Body: e.Body, Location: e.Location,
		Produces: e.Produces, Stream: e.Stream, Parts: e.Parts, Consent: e.Consent, Timeout: e.Timeout,
		Concurrency: e.Concurrency, Secret: e.Secret, Origin: e.Origin, OwnLimits: e.OwnLimits, Cookie: e.Cookie,
		RequestType: reflect.TypeFor[Req](), ResponseType: reflect.TypeFor[Res](), name: actor + "." + method,
	}
	if e.Route != "" {
		d.HTTPMethod, d.Path, ok = strings.Cut(e.Route, " ")
		if !ok {
			panic("subjects: route of " + e.Subject + " is not METHOD /path")
		}
	}
	d.Mutating = d.HTTPMethod != http.MethodGet && !e.ReadOnly
	d.fillDefaults()
	d.Request, d.Response = requestSchema(d.RequestType), replySchema(d.ResponseType, d.Secret)
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
		fail("timeout %s is past %s", d.Timeout, MaxTimeout)
	}
	if d.Stream != (d.ResponseType == reflect.TypeFor[StreamPointer]()) {
		fail("Stream and a StreamPointer reply go together")
	}
	if (d.Produces != "") != (d.ResponseType == reflect.TypeFor[Document]()) {
		fail("Produces and a Document reply go together")
	}
	if d.Parts != (d.ResponseType == reflect.TypeFor[ContentPart]()) || d.Parts != (d.RequestType == reflect.TypeFor[ContentRequest]()) {
		fail("Parts, a ContentRequest and a ContentPart go together")
	}
	if (d.Body.Kind == BodyParts) != (d.Body.Upload != nil) {
		fail("BodyParts and an Upload go together")
	}
	if u := d.Body.Upload; u != nil && (u.Part.RequestType != reflect.TypeFor[PartRequest]() ||
		u.End.RequestType != reflect.TypeFor[EndRequest]() || u.Cancel.RequestType != reflect.TypeFor[ObjectRequest]()) {
		fail("an Upload's endpoints take a PartRequest, an EndRequest and an ObjectRequest")
	}
	if d.OwnLimits && len(d.Limits) == 0 {
		fail("OwnLimits without Limits")
	}
	if d.Cookie != nil && resolve(d.Response).Properties[d.Cookie.Field] == nil {
		fail("the cookie's field %s is not in the reply", d.Cookie.Field)
	}
	for _, f := range d.Fields {
		if (f.In == "path") != strings.Contains(d.Path, "{"+f.Name+"}") {
			fail("path field %s is not in the route, or the other way round", f.Name)
		}
	}
	for _, other := range catalogue {
		if other.Subject == d.Subject {
			fail("declared twice")
		}
		if d.Path != "" && other.Path == d.Path && other.HTTPMethod == d.HTTPMethod {
			fail("route taken by %s", other.Subject)
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
