// Package language implements the Open Workflow Specification 1.0.3 (formerly CNCF Serverless Workflow): a strict model
// of workflow definitions, their faults with line, column and JSON pointer, the evaluation of runtime expressions, and a
// digest.
//
// Parse reads YAML 1.2 or JSON. It rejects unknown fields, duplicate keys, keys that are not strings, and documents
// beyond MaxSource, MaxDepth or MaxNodes. Constructs that the specification defines and weft does not implement parse;
// Workflow.Unsupported lists them, so that such a definition can be rejected when it is created.
//
// The package is pure: it uses no network and no files, and the clock only as a limit on evaluations. Only expressions
// in a definition are evaluated, never data.
package language

// Bounds of one definition.
const (
	// MaxSource bounds the source, in bytes.
	MaxSource = 512 << 10
	// MaxDepth bounds the nesting of mappings and sequences.
	MaxDepth = 64
	// MaxNodes bounds the nodes of a document, with aliases expanded.
	MaxNodes = 50_000
	// MaxTasks bounds the tasks of a definition.
	MaxTasks = 2_000
	// MaxExpressions bounds the expressions of a definition, and MaxExpressionText their texts together, in bytes.
	MaxExpressions    = 10_000
	MaxExpressionText = 256 << 10
	// MaxSchemaObjects bounds the objects of all schemas of a definition together, subschemas and what holds them.
	MaxSchemaObjects = 6_000
	// MaxPointer bounds the JSON pointer of a value, in bytes, and so the names of fields: each value has one.
	MaxPointer = 4 << 10
	// MaxFaults bounds the faults, and the warnings, that are reported.
	MaxFaults = 500
	// MaxURI bounds an expanded URI template, in bytes.
	MaxURI = 64 << 10
)

// Version is the version of the specification that this package implements. document.dsl may be any 1.x.y.
const Version = "1.0.3"
