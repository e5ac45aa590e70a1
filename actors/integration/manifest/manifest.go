// Package manifest parses and evaluates provider manifests: YAML files that describe how weft calls the API of a provider.
// It does no network I/O and does not depend on the mesh.
//
// Loading has two steps. Parse checks a file against the published JSON Schema (schema.json), and Compile checks what the
// schema cannot, such as expressions, schemas, path parameters and scopes. Both report every error with line, column and
// JSON pointer. Compile returns a Provider.
//
// A call has four steps: Action.ValidateInput, Action.Request, an HTTP request made by the caller, and Action.Interpret.
//
// Values are YAML trees. A string of the form `${ … }` is a jq expression; any other string is a literal. Expressions of a
// request see {input, settings, credentials, object, before}. Expressions of a response see {status, headers, body, input,
// now, object}, with header names in lower case, and never credentials. Members and elements whose expression yields nothing
// or null are omitted; a null written in the file is kept.
//
// Requests are not built by concatenating strings: path parameters are escaped, queries and forms are encoded, and JSON is
// marshalled. Expressions are taken from manifests only, never from data, and are limited in time and in the size of their
// values.
package manifest

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"time"
)

// Schema is the JSON Schema (2020-12) of manifests, also for editors.
//
//go:embed schema.json
var Schema []byte

// Manifest is a parsed manifest that satisfies the JSON Schema. Its fields are documented there. Use Compile to check it
// further.
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

// Limit is a rate limit of the provider.
type Limit struct {
	ID       string   `json:"id"`
	Requests int      `json:"requests"`
	Per      Duration `json:"per"`
	// Scope is "connection" (the default) or "provider": whether each connection has its own limit, or all share one.
	Scope string `json:"scope"`
	// Actions are the actions whose calls count; empty means all.
	Actions []string `json:"actions"`
	// Remaining and Reset are expressions over a response: the remaining calls, and the seconds until the limit is reset.
	Remaining string `json:"remaining"`
	Reset     string `json:"reset"`
}

// Retry is a retry policy. A zero field means the operator's default.
type Retry struct {
	Attempts   int      `json:"attempts"`
	Backoff    Duration `json:"backoff"`
	MaxBackoff Duration `json:"max_backoff"`
}

// ErrorsSpec says how to interpret error responses. Code, Message and RetryAfter are expressions over the response.
type ErrorsSpec struct {
	Code       string     `json:"code"`
	Message    string     `json:"message"`
	RetryAfter string     `json:"retry_after"`
	Rules      []RuleSpec `json:"rules"`
}

// RuleSpec assigns a class to error responses that have one of the statuses and for which When is true. Omitted conditions
// match everything. The first rule that matches applies.
type RuleSpec struct {
	Class   Class  `json:"class"`
	Status  []int  `json:"status"`
	When    string `json:"when"`
	Expired bool   `json:"expired"`
}

// ActionSpec is one action, or the health probe, as written.
type ActionSpec struct {
	Title             string          `json:"title"`
	Description       string          `json:"description"`
	Docs              string          `json:"docs"`
	Scopes            []string        `json:"scopes"`
	Input             map[string]any  `json:"input"`
	Defaults          map[string]any  `json:"defaults"`
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

// StepSpec is a request that precedes an action's own, as written.
type StepSpec struct {
	ID string `json:"id"`
	ActionSpec
}

// The values of ActionSpec.Answer: the response is XML, or it is stored as an object. The default follows from the content
// type. Answer may also be an expression over the input that yields AnswerObject or nothing.
const (
	AnswerXML    = "xml"
	AnswerObject = "object"
)

// BodySpec is a request body: the first of JSON, Form, Multipart, GraphQL, Object and Raw that yields a value is sent.
type BodySpec struct {
	JSON      any                 `json:"json"`
	Form      any                 `json:"form"`
	FormStyle string              `json:"form_style"`
	Multipart map[string]PartSpec `json:"multipart"`
	GraphQL   *GraphQLSpec        `json:"graphql"`
	// Object is an expression that yields the key of the object to send; see Call.Object.
	Object string `json:"object"`
	Raw    string `json:"raw"`
	// Base64 means that the value of Raw is the base64 encoding of the body.
	Base64      bool   `json:"base64"`
	ContentType string `json:"content_type"`
}

// PartSpec is one part of a multipart body; exactly one field is set. A part that yields no value is omitted.
type PartSpec struct {
	JSON any       `json:"json"`
	Text string    `json:"text"`
	File *FileSpec `json:"file"`
}

// FileSpec is a file in a multipart body: the first of Content, Base64 and Object that yields a value is sent.
type FileSpec struct {
	Name        string `json:"name"`
	ContentType string `json:"content_type"`
	Content     string `json:"content"`
	Base64      string `json:"base64"`
	Object      string `json:"object"`
}

// GraphQLSpec is a GraphQL request: a literal document and its variables.
type GraphQLSpec struct {
	Query     string `json:"query"`
	Variables any    `json:"variables"`
	Operation string `json:"operation"`
}

// PaginationSpec describes the pages of a list: Items is an expression over {output}, and Next over the response yields the
// cursor of the next page, which the input takes in the field Cursor.
type PaginationSpec struct {
	Items  string `json:"items"`
	Cursor string `json:"cursor"`
	Next   string `json:"next"`
}

// Duration is a time.Duration that is written as in 250ms, 30s, 5m or 1h.
type Duration time.Duration

// UnmarshalJSON implements json.Unmarshaler.
func (d *Duration) UnmarshalJSON(data []byte) error {
	var text string
	if err := json.Unmarshal(data, &text); err != nil {
		return fmt.Errorf("decoding duration: %w", err)
	}
	parsed, err := time.ParseDuration(text)
	if err != nil {
		return fmt.Errorf("decoding duration: %w", err)
	}
	*d = Duration(parsed)
	return nil
}

// MarshalJSON implements json.Marshaler.
func (d Duration) MarshalJSON() ([]byte, error) { return json.Marshal(time.Duration(d).String()) }
