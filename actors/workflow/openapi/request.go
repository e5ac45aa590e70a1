package openapi

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/weftmesh/weft/actors/workflow/language"
)

// Build returns the request of an operation. location is the URL of the description. values are the operation's parameters
// by name; `body`, or else the values that it does not declare, are the request body.
func (d *Description) Build(location, operationID string, values map[string]any) (*Request, error) {
	op, err := d.find(operationID)
	if err != nil {
		return nil, err
	}
	base, err := d.server(op, location)
	if err != nil {
		return nil, err
	}
	b := &builder{description: d, op: op, target: op.path, rest: maps.Clone(values),
		request: &Request{Method: strings.ToUpper(op.method), Headers: map[string]string{"accept": "application/json"}}}
	if err := b.place(values); err != nil {
		return nil, err
	}
	if err := b.body(); err != nil {
		return nil, err
	}
	if len(b.cookies) > 0 {
		b.request.Headers["cookie"] = strings.Join(b.cookies, "; ")
	}
	b.request.URL = base + encodePath(b.target)
	if len(b.query) > 0 {
		separator := "?"
		if strings.Contains(b.request.URL, "?") {
			separator = "&"
		}
		b.request.URL += separator + joinPairs(b.query, "=", "&")
	}
	return b.request, nil
}

// encodePath encodes what a template of a path may contain and a URL may not; its parameters are encoded already.
func encodePath(path string) string { return language.PercentEncode(path, reservedCharacters+"%{}") }

type builder struct {
	description *Description
	op          *operation
	request     *Request
	target      string
	query       []pair
	cookies     []string
	form        map[string]any
	// rest are the values that no parameter has taken.
	rest map[string]any
}

// ignoredHeaders are parameters that OpenAPI 3 ignores (§4.8.12.1): other parts of the description define them.
var ignoredHeaders = []string{"accept", "content-type", "authorization"}

func (b *builder) place(values map[string]any) error {
	for _, parameter := range b.op.parameters {
		name, place := textOf(parameter["name"]), textOf(parameter["in"])
		value := values[name]
		delete(b.rest, name)
		if value == nil {
			if parameter["required"] == true || place == "path" {
				return &Invalid{fmt.Sprintf("the operation requires the parameter %.80q", name)}
			}
			continue
		}
		if err := b.placeOne(parameter, name, place, value); err != nil {
			return err
		}
	}
	return nil
}

func (b *builder) placeOne(parameter map[string]any, name, place string, value any) error {
	if content := objectOf(parameter["content"]); len(content) > 0 {
		if _, isText := value.(string); !isText || content["text/plain"] == nil {
			value = string(language.Canonical(value))
		}
	}
	s := serializerOf(parameter, name, place)
	switch place {
	case "path":
		text, err := s.path(value)
		if err != nil {
			return err
		}
		b.target = strings.ReplaceAll(b.target, "{"+name+"}", text)
	case "query":
		pairs, err := s.query(value)
		if err != nil {
			return err
		}
		b.query = append(b.query, pairs...)
	case "header":
		if b.description.root["swagger"] == nil && slices.Contains(ignoredHeaders, strings.ToLower(name)) {
			return nil
		}
		text, err := s.path(value)
		if err != nil {
			return err
		}
		b.request.Headers[strings.ToLower(name)] = text
	case "cookie":
		pairs, err := s.query(value)
		if err != nil {
			return err
		}
		for _, p := range pairs {
			b.cookies = append(b.cookies, p.name+"="+p.value)
		}
	case "formData":
		if b.form == nil {
			b.form = map[string]any{}
		}
		b.form[name] = value
	case "body":
		b.request.Body, b.request.HasBody = value, true
	}
	return nil
}

// serializerOf is the serializer of a parameter with the defaults of its place (OpenAPI 3.1.1 §4.8.12.2), or by the
// collectionFormat of Swagger 2.0.
func serializerOf(parameter map[string]any, name, place string) *serializer {
	s := &serializer{name: name, style: textOf(parameter["style"]), encode: func(text string) string { return language.PercentEncode(text, "") }}
	switch place {
	case "header":
		s.encode = func(text string) string { return text }
	case "cookie":
		s.encode = encodeCookie
	case "query":
		if parameter["allowReserved"] == true {
			s.encode = func(text string) string { return language.PercentEncode(text, reservedInQuery) }
		}
	}
	if s.style == "" {
		s.style = styleSimple
		if place == "query" || place == "cookie" || place == "formData" {
			s.style = styleForm
		}
	}
	s.explode = s.style == styleForm || s.style == styleDeep
	if explode, given := parameter["explode"].(bool); given {
		s.explode = explode
	}
	if format, given := parameter["collectionFormat"].(string); given || isSwaggerList(parameter) {
		s.explode = format == "multi"
		switch format {
		case "ssv":
			s.style = styleSpace
		case "tsv":
			s.style = styleTab
		case "pipes":
			s.style = stylePipe
		}
	}
	return s
}

// isSwaggerList reports whether a parameter is a list of Swagger 2.0, whose default format is csv.
func isSwaggerList(parameter map[string]any) bool {
	return parameter["type"] == "array" && parameter["schema"] == nil
}

// reservedInQuery are the reserved characters that allowReserved leaves in a value: those that do not end it.
const reservedInQuery = ":/?@!$'()*,;[" + "]"

// encodeCookie percent-encodes what a cookie's value cannot contain (RFC 6265 §4.1.1), and the comma, which separates items.
func encodeCookie(text string) string {
	return language.PercentEncode(text, "!#$%&'()*+/:<=>?@[]^_`{|}")
}

// body sets the request body: by the media types that the operation accepts, JSON before forms before others.
func (b *builder) body() error {
	if b.form != nil {
		media := "application/x-www-form-urlencoded"
		for _, consumed := range b.consumed() {
			if consumed == "multipart/form-data" {
				media = "multipart/form-data"
			}
		}
		return b.encode(b.form, media, nil)
	}
	declared, err := b.description.follow(b.op.body["requestBody"])
	if err != nil {
		return err
	}
	value, given := b.rest["body"]
	if !given && len(b.rest) > 0 {
		value, given = any(b.rest), true
	}
	if b.request.HasBody {
		value, given = b.request.Body, true
	}
	content := objectOf(declared["content"])
	switch {
	case !given && declared["required"] == true:
		return &Invalid{"the operation requires a body: give its fields, or body, among the parameters"}
	case !given:
		return nil
	case declared == nil && !b.request.HasBody && slices.Contains([]string{"GET", "HEAD", "DELETE", "OPTIONS", "TRACE"}, b.request.Method):
		return b.undeclared()
	}
	media := "application/json"
	if len(content) > 0 {
		media = preferred(content)
	}
	return b.encode(value, media, objectOf(objectOf(content[media])["encoding"]))
}

// undeclared is the error of a value that an operation without a body has no parameter for.
func (b *builder) undeclared() error {
	var known []string
	for _, parameter := range b.op.parameters {
		known = append(known, textOf(parameter["name"]))
	}
	name := slices.Sorted(maps.Keys(b.rest))[0]
	return &Invalid{fmt.Sprintf("the operation has no parameter %.80q%s", name, language.DidYouMean(name, known))}
}

func (b *builder) consumed() []any {
	if list, ok := b.op.body["consumes"].([]any); ok {
		return list
	}
	list, _ := b.description.root["consumes"].([]any)
	return list
}

func isJSON(media string) bool {
	media, _, _ = strings.Cut(media, ";")
	return media == "application/json" || strings.HasSuffix(media, "+json") || media == "*/*" || media == "application/*"
}

func preferred(content map[string]any) string {
	names := slices.Sorted(maps.Keys(content))
	for _, good := range []func(string) bool{
		isJSON,
		func(media string) bool { return strings.HasPrefix(media, "application/x-www-form-urlencoded") },
		func(media string) bool { return strings.HasPrefix(media, "multipart/form-data") },
	} {
		if i := slices.IndexFunc(names, good); i >= 0 {
			return names[i]
		}
	}
	return names[0]
}

// encode sets the body under a media type. encodings are the Encoding Objects of a form by property (OpenAPI 3.1.1 §4.8.15).
func (b *builder) encode(value any, media string, encodings map[string]any) error {
	b.request.Body, b.request.HasBody = value, true
	object, isObject := value.(map[string]any)
	_, isText := value.(string)
	switch {
	case strings.HasPrefix(media, "application/x-www-form-urlencoded") && isObject:
		return b.encodeForm(object, encodings)
	case isJSON(media):
		if strings.Contains(media, "*") {
			media = "application/json"
		}
		if isText {
			// A string is a JSON value here, as the description says.
			encoded, err := json.Marshal(value)
			if err != nil {
				return fmt.Errorf("encoding a body: %w", err)
			}
			b.request.Body = string(encoded)
		}
	}
	b.request.Headers["content-type"] = media
	return nil
}

func (b *builder) encodeForm(object, encodings map[string]any) error {
	var pairs []pair
	for _, name := range slices.Sorted(maps.Keys(object)) {
		value, encoding := object[name], objectOf(encodings[name])
		if value == nil {
			continue
		}
		s := serializerOf(encoding, name, "query")
		if nested, isObject := value.(map[string]any); isObject && encoding["style"] == nil && encoding["explode"] == nil {
			value = string(language.Canonical(nested)) // §4.8.15.1.1: the default content type of an object is application/json
		}
		for _, parameter := range b.op.parameters {
			if parameter["in"] == "formData" && parameter["name"] == name {
				s = serializerOf(parameter, name, "formData")
			}
		}
		encoded, err := s.query(value)
		if err != nil {
			return err
		}
		pairs = append(pairs, encoded...)
	}
	form := strings.ReplaceAll(joinPairs(pairs, "=", "&"), "%20", "+")
	b.request.Form, b.request.Body, b.request.HasBody = &form, nil, true
	b.request.Headers["content-type"] = "application/x-www-form-urlencoded"
	return nil
}
