package workflow

import (
	"strings"

	"github.com/weftmesh/weft/subjects"
)

const hexDigits = "0123456789abcdef"

// lotOf is the partition of an execution: the low three bits of its id's last digit. An id that is none has partition 0,
// where nobody knows it.
func lotOf(id string) int {
	if id == "" {
		return 0
	}
	return max(0, strings.IndexByte(hexDigits, id[len(id)-1])) % subjects.WorkflowPartitions
}

// inLot is an id like the given UUID that lies in a partition.
func inLot(id string, lot int) string {
	last := max(0, strings.IndexByte(hexDigits, id[len(id)-1]))
	return id[:len(id)-1] + hexDigits[last-last%subjects.WorkflowPartitions+lot:][:1]
}
