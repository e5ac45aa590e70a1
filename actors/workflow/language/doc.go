// Package language owns the Open Workflow Specification 1.0.3 (formerly CNCF Serverless Workflow) as weft reads
// it: a strict model, its faults by line, column and JSON pointer, its runtime expressions, and a digest.
//
// Parse reads YAML 1.2 or JSON. It refuses what it does not know: unknown fields, duplicate keys, keys that are
// not strings, documents past MaxSource, MaxDepth or MaxNodes. What the specification defines and weft does not run
// yet parses, and Unsupported names it, so that a definition is refused when it is created and never ignored.
//
// The package is pure: no clock, no network, no files. An expression is only ever a part of a definition; nothing
// that arrives as data is evaluated.
package language

// Bounds of one definition.
const (
	// MaxSource is the largest source in bytes.
	MaxSource = 512 << 10
	// MaxDepth is the deepest nesting of mappings and sequences.
	MaxDepth = 64
	// MaxNodes bounds the nodes of a document after its aliases are expanded.
	MaxNodes = 50_000
	// MaxTasks bounds the tasks of a definition.
	MaxTasks = 2_000
)

// Version is the version of the specification that this package reads. Any 1.x.y is accepted in document.dsl.
const Version = "1.0.3"
