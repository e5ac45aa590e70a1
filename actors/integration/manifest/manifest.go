// Package manifest is the model of a provider manifest: one YAML file that says how weft talks to one SaaS
// API. It is pure: it reads bytes, evaluates expressions and describes requests, and neither opens a
// connection nor knows the mesh.
//
// The way of a file: Parse checks its shape against the published JSON Schema (schema.json) and names every
// fault with line, column and pointer; Compile checks its meaning (expressions, schemas, path parameters,
// scopes) the same way and yields a Provider. The way of a call: Action.ValidateInput, Action.Request,
// an HTTP call by somebody else, Action.Interpret.
//
// Values are YAML trees. A string that is `${ … }` as a whole is a jq expression; any other string is
// itself. In a request, expressions see {input, settings, credentials, object, before}; in an answer {status, headers,
// body, input, now} with lower-case header names, and never credentials. An object's member, or an array's
// element, whose expression yields nothing or null is left out; a null written in the file is kept.
//
// Nothing is ever built by joining strings: path parameters are escaped, queries and forms are encoded,
// JSON is marshalled. Expressions come from manifests alone, never from data, and are bounded in time and
// in what they yield.
package manifest

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"time"
)

// Schema is the JSON Schema of a manifest, for editors and for `weft provider lint`.
//
//go:embed schema.json
var Schema []byte

// Manifest is a file as it was written. Its shape has been checked, its meaning has not.
type Manifest struct {
	ID          string                `json:"id"`
	Name        string                `json:"name"`
	Description string                `json:"description"`
	Category    string                `json:"category"`
	Docs        string                `json:"docs"`
	BaseURL     string                `json:"base_url"`
	BaseURLs    map[string]string     `json:"base_urls"`
	Hosts       []string              `json:"hosts"`
	Settings    map[string]any        `json:"settings"`
	Headers     any                   `json:"headers"`
	Auth        []AuthSpec            `json:"auth"`
	Scopes      map[string]string     `json:"scopes"`
	Limits      []Limit               `json:"limits"`
	Timeout     Duration              `json:"timeout"`
	Retry       Retry                 `json:"retry"`
	Success     string                `json:"success"`
	Errors      ErrorsSpec            `json:"errors"`
	Health      ActionSpec            `json:"health"`
	Actions     map[string]ActionSpec `json:"actions"`
	Webhook     *WebhookSpec          `json:"webhook"`

	positions positions
}

// Limit is one bucket of the provider's.
type Limit struct {
	ID       string   `json:"id"`
	Requests int      `json:"requests"`
	Per      Duration `json:"per"`
	// Scope is "connection", also when it is empty, or "provider".
	Scope string `json:"scope"`
	// Actions whose calls are counted; empty means all.
	Actions   []string `json:"actions"`
	Remaining string   `json:"remaining"`
	Reset     string   `json:"reset"`
}

// Retry is how patiently a call is repeated; a zero field means the operator's default.
type Retry struct {
	Attempts   int      `json:"attempts"`
	Backoff    Duration `json:"backoff"`
	MaxBackoff Duration `json:"max_backoff"`
}

// ErrorsSpec says how the provider tells errors.
type ErrorsSpec struct {
	Code       string     `json:"code"`
	Message    string     `json:"message"`
	RetryAfter string     `json:"retry_after"`
	Rules      []RuleSpec `json:"rules"`
}

// RuleSpec puts an answer into a class: all it names must hold; the first rule that matches decides.
type RuleSpec struct {
	Class   Class  `json:"class"`
	Status  []int  `json:"status"`
	When    string `json:"when"`
	Expired bool   `json:"expired"`
}

// ActionSpec is one operation, or the health probe, as written.
type ActionSpec struct {
	Title             string          `json:"title"`
	Description       string          `json:"description"`
	Docs              string          `json:"docs"`
	Scopes            []string        `json:"scopes"`
	Input             map[string]any  `json:"input"`
	Example           map[string]any  `json:"example"`
	Before            []StepSpec      `json:"before"`
	Object            string          `json:"object"`
	Method            string          `json:"method"`
	URL               string          `json:"url"`
	Host              string          `json:"host"`
	Path              string          `json:"path"`
	Params            map[string]any  `json:"params"`
	Query             any             `json:"query"`
	Headers           any             `json:"headers"`
	Body              *BodySpec       `json:"body"`
	Safety            string          `json:"safety"`
	IdempotencyHeader string          `json:"idempotency_header"`
	Timeout           Duration        `json:"timeout"`
	Answer            string          `json:"answer"`
	Success           string          `json:"success"`
	Errors            ErrorsSpec      `json:"errors"`
	Output            any             `json:"output"`
	OutputSchema      any             `json:"output_schema"`
	Pagination        *PaginationSpec `json:"pagination"`
}

// StepSpec is a request that is made before an action's own, as written.
type StepSpec struct {
	ID string `json:"id"`
	ActionSpec
}

// What an ActionSpec's Answer may be besides what its content type says: XML, or a file that is kept as an object. It may be
// an expression over the input that yields AnswerObject or nothing.
const (
	AnswerXML    = "xml"
	AnswerObject = "object"
)

// BodySpec is a request's body: the first of JSON, Form, Multipart, GraphQL, Object and Raw that yields a value.
type BodySpec struct {
	JSON      any                 `json:"json"`
	Form      any                 `json:"form"`
	FormStyle string              `json:"form_style"`
	Multipart map[string]PartSpec `json:"multipart"`
	GraphQL   *GraphQLSpec        `json:"graphql"`
	// Object yields the key of an object whose bytes are the body; see Call.Object.
	Object string `json:"object"`
	Raw    string `json:"raw"`
	// Base64 says that Raw yields base64 of the body.
	Base64      bool   `json:"base64"`
	ContentType string `json:"content_type"`
}

// PartSpec is one part of a multipart body; one of its fields is set. A part that yields nothing is left out.
type PartSpec struct {
	JSON any       `json:"json"`
	Text string    `json:"text"`
	File *FileSpec `json:"file"`
}

// FileSpec is a file in a multipart body: the first of Content, Base64 and Object that yields a value.
type FileSpec struct {
	Name        string `json:"name"`
	ContentType string `json:"content_type"`
	Content     string `json:"content"`
	Base64      string `json:"base64"`
	Object      string `json:"object"`
}

// GraphQLSpec is a GraphQL request: a literal document, and variables.
type GraphQLSpec struct {
	Query     string `json:"query"`
	Variables any    `json:"variables"`
	Operation string `json:"operation"`
}

// PaginationSpec says how a list goes on.
type PaginationSpec struct {
	Items string `json:"items"`
	Next  string `json:"next"`
}

// Duration is a time.Duration written as 250ms, 30s, 5m or 1h.
type Duration time.Duration

// UnmarshalJSON reads the written form.
func (d *Duration) UnmarshalJSON(data []byte) error {
	var text string
	if err := json.Unmarshal(data, &text); err != nil {
		return fmt.Errorf("reading duration: %w", err)
	}
	parsed, err := time.ParseDuration(text)
	if err != nil {
		return fmt.Errorf("reading duration: %w", err)
	}
	*d = Duration(parsed)
	return nil
}

// MarshalJSON writes what UnmarshalJSON reads.
func (d Duration) MarshalJSON() ([]byte, error) { return json.Marshal(time.Duration(d).String()) }
