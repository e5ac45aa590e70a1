package engine

import (
	"hash/fnv"
	"strings"

	"github.com/weftmesh/weft/subjects"
)

const hexDigits = "0123456789abcdef"

// PartitionOf is the partition that an execution's id names: the low three bits of its last digit. A string that is no id has
// partition 0, where no execution has it.
func PartitionOf(id string) int {
	if id == "" {
		return 0
	}
	return max(0, strings.IndexByte(hexDigits, id[len(id)-1])) % subjects.WorkflowPartitions
}

// IDIn is the UUID with its last digit changed such that it names a partition.
func IDIn(id string, number int) string {
	last := max(0, strings.IndexByte(hexDigits, id[len(id)-1]))
	return id[:len(id)-1] + hexDigits[last-last%subjects.WorkflowPartitions+number:][:1]
}

// LimitedPartition is the partition of all executions of a workflow with limits: one owner counts them.
func LimitedPartition(workflowID string) int {
	hash := fnv.New32a()
	_, _ = hash.Write([]byte(workflowID)) // a hash takes everything
	return int(hash.Sum32() % subjects.WorkflowPartitions)
}
