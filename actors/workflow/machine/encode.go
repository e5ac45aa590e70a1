package machine

import (
	"strconv"
	"time"

	"github.com/weftmesh/weft/actors/workflow/language"
)

// AppendJSON appends the event as JSON, with the same result as json.Marshal of the plain struct. It exists for speed:
// every step of every execution encodes events.
func (e *Event) AppendJSON(out []byte) []byte {
	out = append(out, `{"version":`...)
	out = strconv.AppendInt(out, int64(e.Version), 10)
	out = append(out, `,"sequence":`...)
	out = strconv.AppendUint(out, e.Sequence, 10)
	out = appendText(out, `,"type":`, string(e.Type))
	out = appendTime(out, `,"at":`, &e.At)
	if e.Execution != "" {
		out = appendText(out, `,"execution":`, e.Execution)
	}
	if d := e.Definition; d != nil {
		out = appendText(out, `,"definition":{"namespace":`, d.Namespace)
		out = appendText(out, `,"name":`, d.Name)
		out = appendText(out, `,"version":`, d.Version)
		out = append(appendText(out, `,"digest":`, d.Digest), '}')
	}
	out = e.appendTask(out)
	out = appendValue(out, `,"input":`, e.Input)
	out = appendValue(out, `,"data":`, e.Data)
	out = appendValue(out, `,"output":`, e.Output)
	out = appendValue(out, `,"context":`, e.Context)
	out = appendValue(out, `,"items":`, e.Items)
	if e.Then != "" {
		out = appendText(out, `,"then":`, e.Then)
	}
	if e.Error != nil {
		out = e.Error.appendJSON(append(out, `,"error":`...))
	}
	out = appendTime(out, `,"due":`, e.Due)
	out = appendTime(out, `,"deadline":`, e.Deadline)
	out = appendTime(out, `,"attempt_due":`, e.AttemptDue)
	if e.Timer != "" {
		out = appendText(out, `,"timer":`, e.Timer)
	}
	out = appendNumber(e.appendMessage(out), `,"size":`, e.Size)
	out = appendNumber(out, `,"steps":`, e.Steps)
	return append(e.appendInterrupted(out), '}')
}

func (e *Event) appendTask(out []byte) []byte {
	out = appendNumber(out, `,"run":`, e.Run)
	out = appendNumber(out, `,"parent":`, e.Parent)
	out = appendNumber(out, `,"slot":`, e.Slot)
	if e.Task != "" {
		out = appendText(out, `,"task":`, e.Task)
	}
	if e.Name != "" {
		out = appendText(out, `,"name":`, e.Name)
	}
	if e.Key != "" {
		out = appendText(out, `,"key":`, e.Key)
	}
	out = appendNumber(out, `,"attempt":`, e.Attempt)
	out = appendNumber(out, `,"index":`, e.Index)
	if e.Extension != "" {
		out = appendText(out, `,"extension":`, e.Extension)
	}
	return out
}

func (e *Event) appendMessage(out []byte) []byte {
	out = appendValue(out, `,"message":`, e.Message)
	if len(e.Filters) > 0 {
		out = append(out, `,"filters":[`...)
		for i, filter := range e.Filters {
			if i > 0 {
				out = append(out, ',')
			}
			out = strconv.AppendInt(out, int64(filter), 10)
		}
		out = append(out, ']')
	}
	if len(e.Correlation) > 0 {
		out = language.Append(append(out, `,"correlation":`...), map[string]any(e.Correlation))
	}
	if e.MessageID != "" {
		out = appendText(out, `,"message_id":`, e.MessageID)
	}
	if e.Reason != "" {
		out = appendText(out, `,"reason":`, e.Reason)
	}
	return out
}

func (e *Event) appendInterrupted(out []byte) []byte {
	for i, call := range e.Interrupted {
		if i == 0 {
			out = append(out, `,"interrupted":[`...)
		} else {
			out = append(out, ',')
		}
		out = strconv.AppendInt(append(out, `{"run":`...), int64(call.Run), 10)
		out = appendText(out, `,"task":`, call.Task)
		out = appendText(out, `,"key":`, call.Key)
		out = append(appendText(out, `,"outcome":`, call.Outcome), '}')
	}
	if len(e.Interrupted) > 0 {
		out = append(out, ']')
	}
	return out
}

// MarshalJSON implements json.Marshaler by AppendJSON.
func (e Event) MarshalJSON() ([]byte, error) { return e.AppendJSON(nil), nil }

func (e *Error) appendJSON(out []byte) []byte {
	out = appendText(out, `{"type":`, e.Type)
	out = strconv.AppendInt(append(out, `,"status":`...), int64(e.Status), 10)
	if e.Title != "" {
		out = appendText(out, `,"title":`, e.Title)
	}
	if e.Detail != "" {
		out = appendText(out, `,"detail":`, e.Detail)
	}
	if e.Instance != "" {
		out = appendText(out, `,"instance":`, e.Instance)
	}
	if e.Outcome != "" {
		out = appendText(out, `,"outcome":`, e.Outcome)
	}
	return append(out, '}')
}

func appendText(out []byte, field, text string) []byte {
	return language.AppendText(append(out, field...), text)
}

func appendNumber(out []byte, field string, number int) []byte {
	if number == 0 {
		return out
	}
	return strconv.AppendInt(append(out, field...), int64(number), 10)
}

func appendTime(out []byte, field string, at *time.Time) []byte {
	if at == nil {
		return out
	}
	out = append(append(out, field...), '"')
	return append(at.AppendFormat(out, time.RFC3339Nano), '"')
}

func appendValue(out []byte, field string, value Value) []byte {
	if !value.Set {
		return out
	}
	return language.Append(append(out, field...), value.V)
}
