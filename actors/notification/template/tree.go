package template

// The kinds of nodes.
type nodeKind int

const (
	nodeContent nodeKind = iota
	nodeComment
	nodeValue
	nodeBlock
	nodePartial
)

// strip says on which sides of a tag `~` removes whitespace.
type strip struct{ open, close bool }

// node is one element of a program.
type node struct {
	kind nodeKind
	// offset is the position of the tag in the source.
	offset int
	strip  strip

	// original is the text as written, value what remains of it without the whitespace of tags that stand alone on a line.
	original, value             string
	leftStripped, rightStripped bool

	// expression is that of a value or a block, or the context of a partial; raw means that the value is not escaped.
	expression *expression
	raw        bool

	// block is if, unless, each or with; zero is the option includeZero of if and unless.
	block                    string
	zero                     bool
	program, inverse         *program
	inverseStrip, closeStrip strip

	// name, indent and hash are those of a partial.
	name, indent string
	hash         []pair
}

// program is a sequence of nodes. It is chained if it consists of the block of an `else if`.
type program struct {
	body    []*node
	chained bool
}

// pair is a named argument.
type pair struct {
	name  string
	value *expression
}

// expression is a literal, a path or a call of a helper.
type expression struct {
	offset  int
	literal any

	// path is set for a path, such as ../order.id: up is the number of `../`. A path of data begins with @.
	path *path

	helper    *helper
	arguments []*expression
	hash      []pair
}

// path is a path to a variable.
type path struct {
	// text is the path as written.
	text string
	up   int
	// data is the name behind an @; "root" continues with segments.
	data     string
	segments []string
}

// Reference is the use of a partial.
type Reference struct {
	Name         string
	Line, Column int
}

// Template is a parsed source. It is safe for concurrent use.
type Template struct {
	source     string
	options    Options
	program    *program
	references []Reference
	// nodes is the number of elements.
	nodes int
}

// nodeSize is about the memory of an element of a source, in bytes.
const nodeSize = 192

// size is about the memory that the template takes, in bytes.
func (t *Template) size() int { return len(t.source) + nodeSize*t.nodes }
