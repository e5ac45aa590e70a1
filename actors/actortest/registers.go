package actortest

import (
	"fmt"

	"github.com/anishathalye/porcupine"
)

// Access is one operation on a register, the input of a porcupine.Operation: a write of Value, or a read, whose output is the value.
type Access struct {
	Register string
	Write    bool
	Value    string
}

// Registers is the model of registers that hold initial at first.
func Registers(initial string) porcupine.Model {
	return porcupine.Model{
		Partition: func(history []porcupine.Operation) (parts [][]porcupine.Operation) {
			byRegister := map[string][]porcupine.Operation{}
			for _, o := range history {
				access, _ := o.Input.(Access)
				byRegister[access.Register] = append(byRegister[access.Register], o)
			}
			for _, part := range byRegister {
				parts = append(parts, part)
			}
			return parts
		},
		Init: func() any { return initial },
		Step: func(state, input, output any) (bool, any) {
			if access, _ := input.(Access); access.Write {
				return true, access.Value
			}
			return output == state, state
		},
		DescribeOperation: func(input, output any) string { return fmt.Sprintf("%+v -> %v", input, output) },
	}
}
