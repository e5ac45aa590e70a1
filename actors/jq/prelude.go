package jq

import (
	_ "embed"
	"fmt"
	"reflect"
	"sync"

	"github.com/itchyny/gojq"
)

//go:embed prelude.jq
var preludeText string

// definition is a function of the prelude, and the names that it calls.
type definition struct {
	*gojq.FuncDef
	calls map[string]bool
}

// prelude are gojq's definitions that iterate over their input, read by the guard.
var prelude = sync.OnceValue(func() []definition {
	query, err := gojq.Parse(preludeText)
	if err != nil {
		panic(fmt.Sprintf("jq: prelude.jq: %v", err))
	}
	all := make([]definition, len(query.FuncDefs))
	for i, function := range query.FuncDefs {
		g := guard{own: true, catches: true, called: map[string]bool{}}
		g.walk(reflect.ValueOf(function), 0)
		all[i] = definition{function, g.called}
	}
	return all
})

// definitions are the functions of the prelude that are needed for those that are called, in order.
func definitions(called map[string]bool) []*gojq.FuncDef {
	all := prelude()
	needed := make([]bool, len(all))
	// A definition calls those before it.
	for i := len(all) - 1; i >= 0; i-- {
		if needed[i] = called[all[i].Name]; needed[i] {
			for name := range all[i].calls {
				called[name] = true
			}
		}
	}
	var chosen []*gojq.FuncDef
	for i, function := range all {
		if needed[i] {
			chosen = append(chosen, function.FuncDef)
		}
	}
	return chosen
}
