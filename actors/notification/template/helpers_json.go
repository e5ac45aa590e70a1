package template

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"
)

// json writes a value as JSON, as JSON.stringify does. A missing value is null.
func (c *call) json(value any) (any, error) {
	var out strings.Builder
	err := c.appendJSON(&out, value)
	return out.String(), err
}

func (c *call) appendJSON(out *strings.Builder, value any) error {
	if err := c.env.Budget.Step(1); err != nil {
		return err
	}
	switch v := value.(type) {
	case bool:
		out.WriteString(strconv.FormatBool(v))
	case number:
		out.WriteString(v.String())
	case string:
		if err := c.read(v); err != nil {
			return err
		}
		return quote(out, v)
	case []any:
		out.WriteByte('[')
		for i, item := range v {
			if i > 0 {
				out.WriteByte(',')
			}
			if err := c.appendJSON(out, item); err != nil {
				return err
			}
		}
		out.WriteByte(']')
	case *Object:
		out.WriteByte('{')
		for i, name := range v.names {
			if i > 0 {
				out.WriteByte(',')
			}
			if err := quote(out, name); err != nil {
				return err
			}
			out.WriteByte(':')
			if err := c.appendJSON(out, v.values[name]); err != nil {
				return err
			}
		}
		out.WriteByte('}')
	default:
		out.WriteString("null")
	}
	return nil
}

// quote writes a text as JSON.
func quote(out *strings.Builder, text string) error {
	var quoted bytes.Buffer
	e := json.NewEncoder(&quoted)
	e.SetEscapeHTML(false)
	if err := e.Encode(text); err != nil {
		return err
	}
	out.Write(bytes.TrimSuffix(quoted.Bytes(), []byte("\n")))
	return nil
}
