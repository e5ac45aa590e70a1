package jq

import "fmt"

// checkText bounds the text of an expression before it is parsed. The parser keeps its state on the heap, but what reads the tree
// afterwards recurses, so brackets and signs that open a level are counted here, and the rest when the tree is read.
func checkText(text string) error {
	if len(text) > MaxText {
		return fmt.Errorf("the expression is longer than %d bytes", MaxText)
	}
	depth, signs := 0, 0
	for i := range len(text) {
		switch text[i] {
		case '(', '[', '{':
			depth++
		case ')', ']', '}':
			depth = max(depth-1, 0)
		case '-', '+':
			signs++
			continue
		case ' ', '\t', '\r', '\n':
			continue
		}
		if depth > MaxNesting || signs > MaxNesting {
			return errNesting
		}
		signs = 0
	}
	if signs > MaxNesting {
		return errNesting
	}
	return nil
}

var errNesting = fmt.Errorf("the expression is nested more than %d levels deep", MaxNesting)
