package main

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
)

// introspected is a GraphQL schema as returned by an introspection query.
type introspected struct {
	QueryType, MutationType *struct{ Name string }
	Types                   []graphType
}

type graphType struct {
	Kind, Name    string
	Fields        []graphField
	InputFields   []graphField
	Interfaces    []typeRef
	EnumValues    []struct{ Name string }
	PossibleTypes []typeRef
}

type graphField struct {
	Name         string
	Args         []graphField
	Type         typeRef
	DefaultValue *string
}

type typeRef struct {
	Kind, Name string
	OfType     *typeRef
}

func (r typeRef) String() string {
	switch r.Kind {
	case "NON_NULL":
		return r.OfType.String() + "!"
	case "LIST":
		return "[" + r.OfType.String() + "]"
	}
	return r.Name
}

// unzipped decompresses data that is compressed by gzip.
func unzipped(data []byte) ([]byte, error) {
	if !bytes.HasPrefix(data, []byte{0x1f, 0x8b}) {
		return data, nil
	}
	reader, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	return io.ReadAll(reader)
}

// definitions converts the response of an introspection query to the schema language; ok is false if data is not one.
func definitions(data []byte) (text string, ok bool) {
	var answer struct {
		Data struct {
			Schema *introspected `json:"__schema"`
		}
		Schema *introspected `json:"__schema"`
	}
	if json.Unmarshal(data, &answer) != nil {
		return "", false
	}
	schema := answer.Schema
	if schema == nil {
		schema = answer.Data.Schema
	}
	if schema == nil || schema.QueryType == nil {
		return "", false
	}
	var b strings.Builder
	fmt.Fprintf(&b, "schema {\n  query: %s\n", schema.QueryType.Name)
	if schema.MutationType != nil {
		fmt.Fprintf(&b, "  mutation: %s\n", schema.MutationType.Name)
	}
	b.WriteString("}\n")
	for _, t := range schema.Types {
		if !strings.HasPrefix(t.Name, "__") && !slices.Contains([]string{"Int", "Float", "String", "Boolean", "ID"}, t.Name) {
			t.define(&b)
		}
	}
	return b.String(), true
}

func (t graphType) define(b *strings.Builder) {
	switch t.Kind {
	case "SCALAR":
		fmt.Fprintf(b, "scalar %s\n", t.Name)
	case "UNION":
		fmt.Fprintf(b, "union %s = %s\n", t.Name, joined(t.PossibleTypes, " | "))
	case "ENUM":
		fmt.Fprintf(b, "enum %s {\n", t.Name)
		for _, value := range t.EnumValues {
			fmt.Fprintf(b, "  %s\n", value.Name)
		}
		b.WriteString("}\n")
	case "INPUT_OBJECT":
		fmt.Fprintf(b, "input %s {\n", t.Name)
		defineFields(b, t.InputFields)
		b.WriteString("}\n")
	case "OBJECT", "INTERFACE":
		word := map[string]string{"OBJECT": "type", "INTERFACE": "interface"}[t.Kind]
		fmt.Fprintf(b, "%s %s", word, t.Name)
		if len(t.Interfaces) > 0 {
			fmt.Fprintf(b, " implements %s", joined(t.Interfaces, " & "))
		}
		b.WriteString(" {\n")
		defineFields(b, t.Fields)
		b.WriteString("}\n")
	}
}

func defineFields(b *strings.Builder, fields []graphField) {
	for _, field := range fields {
		args := make([]string, len(field.Args))
		for i, arg := range field.Args {
			args[i] = arg.declared()
		}
		list := ""
		if len(args) > 0 {
			list = "(" + strings.Join(args, ", ") + ")"
		}
		fmt.Fprintf(b, "  %s%s: %s%s\n", field.Name, list, field.Type, field.byDefault())
	}
}

func (f graphField) declared() string { return f.Name + ": " + f.Type.String() + f.byDefault() }

func (f graphField) byDefault() string {
	if f.DefaultValue == nil {
		return ""
	}
	return " = " + *f.DefaultValue
}

func joined(types []typeRef, by string) string {
	names := make([]string, len(types))
	for i, t := range types {
		names[i] = t.Name
	}
	return strings.Join(names, by)
}
