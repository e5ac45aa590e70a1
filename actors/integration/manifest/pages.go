package manifest

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/big"
)

// NextCursorField is the member of a page's output with the cursor of the next page. The last page has none.
const NextCursorField = "next_cursor"

// itemsField is the member that an output that is a list has its elements in.
const itemsField = "items"

// pagination compiles how the pages of an action follow one another, and adds the cursor to its output schema.
func (c *compiler) pagination(a *Action, spec ActionSpec, pointer string) {
	if spec.Pagination == nil {
		return
	}
	a.Paginated, a.Cursor = true, spec.Pagination.Cursor
	a.items = c.optional(spec.Pagination.Items, pointerTo(pointer, "items"))
	a.next = c.optional(spec.Pagination.Next, pointerTo(pointer, "next"))
	fields, _ := a.Input["properties"].(map[string]any)
	field, ok := fields[a.Cursor].(map[string]any)
	if !ok {
		c.fault(pointerTo(pointer, "cursor"), "the input has no field %s", a.Cursor)
		return
	}
	a.OutputSchema = pageSchema(spec.OutputSchema, a.Cursor, field)
}

// pageSchema returns the schema of a page's output: the declared one with the cursor, or with a list in the field items.
func pageSchema(declared any, cursor string, field map[string]any) any {
	page, _ := declared.(map[string]any)
	page = maps.Clone(page)
	if page["type"] == "array" {
		page = map[string]any{"type": "object", "required": []any{itemsField}, "properties": map[string]any{itemsField: declared}}
	}
	if page == nil {
		page = map[string]any{"type": "object"}
	}
	known, _ := page["properties"].(map[string]any)
	properties := maps.Clone(known)
	if properties == nil {
		properties = map[string]any{}
	}
	next := map[string]any{"description": "The cursor of the next page, for the input's " + cursor + "; absent on the last page."}
	if kind, ok := field["type"]; ok {
		next["type"] = kind
	}
	properties[NextCursorField] = next
	page["properties"] = properties
	return page
}

// nextCursor evaluates the cursor of the page after a response; nil on the last page.
func (a *Action) nextCursor(s *scope) (any, error) {
	value, _, err := a.next.eval(s)
	if err != nil {
		return nil, fmt.Errorf("evaluating the next page of %s: %w", a.ID, err)
	}
	switch v := value.(type) {
	case nil:
		return nil, nil
	case string:
		if v == "" {
			return nil, nil
		}
		return v, nil
	case int, float64, *big.Int, json.Number:
		return v, nil
	}
	return nil, fmt.Errorf("evaluating the next page of %s: not a string or number", a.ID)
}

// paged returns the output of a page: an object that has next_cursor exactly if there is a next page. A list becomes the field
// items.
func (a *Action) paged(s *scope, output any) (any, error) {
	if a.next == nil {
		return output, nil
	}
	cursor, err := a.nextCursor(s)
	if err != nil {
		return nil, err
	}
	page := map[string]any{}
	switch v := output.(type) {
	case map[string]any:
		page = maps.Clone(v)
		delete(page, NextCursorField)
	case []any:
		page[itemsField] = v
	case nil:
	default:
		return nil, fmt.Errorf("the page of %s is neither an object nor a list", a.ID)
	}
	if cursor != nil {
		page[NextCursorField] = cursor
	}
	return page, nil
}

// NextPage returns the input for the page after this response. more is false on the last page.
func (a *Action) NextPage(conn Connection, input map[string]any, answer Answer) (next map[string]any, more bool, err error) {
	if a.next == nil {
		return nil, false, nil
	}
	s := a.answerScope(a.provider.secretsOf(conn), input, answer)
	cursor, err := a.nextCursor(s)
	if err != nil || cursor == nil {
		return nil, false, err
	}
	next = maps.Clone(input)
	if next == nil {
		next = map[string]any{}
	}
	next[a.Cursor] = cursor
	return next, true, nil
}

// Items returns the items of a page's output; nil if the manifest does not declare them.
func (a *Action) Items(output any) []any {
	if a.items == nil {
		return nil
	}
	s := newScope(map[string]any{"output": output}, maxResponseValue)
	value, _, _ := a.items.eval(s)
	items, _ := value.([]any)
	return items
}
