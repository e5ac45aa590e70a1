package language

import (
	"slices"
	"strings"
)

// IsLiteral reports whether the text of a filter is compared literally. It is a regular expression if it contains any
// metacharacter other than a dot.
func IsLiteral(text string) bool { return !strings.ContainsAny(text, `\*+?()[]{}|^$`) }

// Types are the event types that a consumption names literally; nil if it may consume events of any type.
func (c *Consumption) Types() []string {
	if len(c.Filters) == 0 {
		return nil
	}
	filters := c.Filters
	if c.Until != nil {
		filters = append(slices.Clone(filters), c.Until.Filters...)
		if len(c.Until.Filters) == 0 {
			return nil
		}
	}
	var types []string
	for _, filter := range filters {
		kind, isText := filter.With["type"].(string)
		if !isText || IsExpression(kind) || !IsLiteral(kind) {
			return nil
		}
		if !slices.Contains(types, kind) {
			types = append(types, kind)
		}
	}
	return types
}

// Forever reports whether the consumption never ends by itself: its until condition is the constant false.
func (c *Consumption) Forever() bool {
	return strings.TrimSpace(expressionBody(c.UntilCondition)) == "false"
}

// ReadEvent returns what a consumer receives of a CloudEvent: its data, its data as text (raw), or the whole event
// (envelope). Binary data is base64 text.
func ReadEvent(event map[string]any, read string) any {
	if read == "envelope" {
		return event
	}
	data, given := event["data"]
	if !given {
		data = event["data_base64"]
	}
	if read == "raw" && data != nil {
		return Text(data)
	}
	return data
}
