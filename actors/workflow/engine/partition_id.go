package engine

import (
	"hash/fnv"
	"strings"

	"github.com/weftmesh/weft/subjects"
)

const hexDigits = "0123456789abcdef"

// lotOf is the partition of an execution: the low three bits of its id's last digit. An id that is none has partition 0,
// where nobody knows it.
func PartitionOf(id string) int {
	if id == "" {
		return 0
	}
	return max(0, strings.IndexByte(hexDigits, id[len(id)-1])) % subjects.WorkflowPartitions
}

// inLot is an id like the given UUID that lies in a partition.
func IDIn(id string, number int) string {
	last := max(0, strings.IndexByte(hexDigits, id[len(id)-1]))
	return id[:len(id)-1] + hexDigits[last-last%subjects.WorkflowPartitions+number:][:1]
}

// limitedLot is the partition that a workflow's executions live in where it has limits: one owner counts them all.
func LimitedPartition(workflowID string) int {
	hash := fnv.New32a()
	_, _ = hash.Write([]byte(workflowID)) // a hash takes everything
	return int(hash.Sum32() % subjects.WorkflowPartitions)
}
