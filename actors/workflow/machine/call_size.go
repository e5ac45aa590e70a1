package machine

import "fmt"

// Bounds of what the calls that are open at the same time hold, in bytes.
const (
	// MaxOpenCalls bounds the data of all of them. A task with a call that exceeds it faults with an error of TypeRuntime.
	MaxOpenCalls = 32 << 20
	// largeCall is from what size on a call counts.
	largeCall = 32 << 10
)

// admit is the error of a call for which the open calls leave no room; nil for any other.
func (b *callBuilder) admit() error {
	if b.size < largeCall {
		return nil
	}
	total := b.size
	for _, run := range b.state.Runs {
		if run.awaitsCall() {
			total += run.CallSize
		}
	}
	if total > MaxOpenCalls {
		return NewError(TypeRuntime, fmt.Sprintf("the calls that are being made have more than %d bytes of data", MaxOpenCalls))
	}
	return nil
}

// charge charges the present decision with the data of a call, which is encoded and sent.
func (b *callBuilder) charge(call *Call) error {
	size := scale{bound: MaxEventBytes}
	size.add(call.Arguments, 0)
	size.add(call.Message, 0)
	if call.Workflow != nil {
		size.add(call.Workflow.Input, 0)
	}
	if call.HTTP != nil {
		size.weight += len(call.HTTP.URL) + len(call.HTTP.Body)
	}
	if call.OpenAPI != nil {
		size.add(call.OpenAPI.Parameters, 0)
	}
	if size.refused != "" {
		return NewError(TypeRuntime, "the data of the call "+size.refused)
	}
	b.size = size.weight
	if !b.eval.meter.walk(size.weight) {
		return b.eval.meter.fault()
	}
	return nil
}
