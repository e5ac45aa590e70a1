package machine

import (
	"cmp"
	"strings"
	"time"

	"github.com/weftmesh/weft/actors/workflow/language"
	"github.com/weftmesh/weft/actors/workflow/openapi"
)

// callBuilder builds the calls of task runs.
type callBuilder struct {
	def     *language.Workflow
	state   *State
	eval    *evaluator
	secrets *secretReader
	// size is the weight of the data of the call that was built last.
	size int
}

// identity is the call of a run without what has to be evaluated for it.
func (b *callBuilder) identity(run *Run) *Call {
	if run.ApprovalRequested {
		return b.approvalRequest(run)
	}
	switch task := b.def.Task(run.Task); {
	case task.Kind == language.KindEmit:
		return b.newCall(run, CallEmit)
	case task.Run != nil && task.Run.Workflow != nil:
		call := b.newCall(run, CallWorkflow)
		call.Workflow = childWorkflow(task.Run)
		return call
	case task.Call != nil && task.Call.Function == language.CallHTTP:
		return b.newCall(run, CallHTTP)
	case task.Call != nil && task.Call.Function == language.CallOpenAPI:
		return b.newCall(run, CallOpenAPI)
	case task.Call != nil:
		call := b.newCall(run, CallFunction)
		call.Function = task.Call.Function
		return call
	}
	return b.newCall(run, CallFunction)
}

// childWorkflow is the workflow that a run task starts, without its input.
func childWorkflow(run *language.Run) *ChildWorkflow {
	child := run.Workflow
	return &ChildWorkflow{Namespace: child.Namespace, Name: child.Name, Version: cmp.Or(child.Version, "latest"), Await: run.Await}
}

// rebuild builds the call of a run that is already scheduled. It was built successfully before, so only a missing
// secret makes it fail.
func (b *callBuilder) rebuild(run *Run) *Call {
	if run.ApprovalRequested {
		return b.approvalRequest(run)
	}
	call, err := b.prepare(run)
	if err != nil {
		call = b.identity(run)
		call.Fault = b.eval.workflowError(err, run.Task)
	}
	return call
}

// prepare evaluates a call's arguments. It fails if a secret that the call uses is unavailable. The message of an
// evaluation with $secrets is withheld: an expression can put anything into it.
func (b *callBuilder) prepare(run *Run) (*Call, error) {
	task := b.def.Task(run.Task)
	call, err := b.evaluate(run, task)
	if err == nil {
		err = b.charge(call)
	}
	switch {
	case b.secrets.denied != nil:
		return nil, b.secrets.denied
	case err != nil && task.Secrets.Arguments:
		known := asError(err)
		withheld := NewError(known.Type, withheldArguments)
		withheld.Status = known.Status
		return nil, withheld
	}
	return call, err
}

// evaluate builds a call. There are secrets to read meanwhile, and only then.
func (b *callBuilder) evaluate(run *Run, task *language.Task) (*Call, error) {
	b.secrets.denied, b.secrets.building = nil, task.Kind == language.KindCall
	defer func() { b.secrets.building = false }()
	return b.build(run)
}

func (b *callBuilder) build(run *Run) (*Call, error) {
	task := b.def.Task(run.Task)
	scope := b.eval.scope(run, task)
	if task.DeferredInput {
		// The input contains secrets: it is evaluated for the call and not kept.
		input, err := b.def.Transform(task.Input.From, run.Input, scope)
		if err != nil {
			return nil, err
		}
		unsealed := *run
		unsealed.Input, unsealed.Raw, run = input, ValueOf(run.Input), &unsealed
		scope = scope.Bind("input", input)
	}
	if b.eval.policyOf(task) != nil && strings.Contains(string(language.Canonical(task.Call.With)), "$authorization") {
		scope = scope.Bind("authorization", b.eval.authorization(run, task, false))
	}
	switch task.Kind {
	case language.KindEmit:
		return b.prepareEmit(run, task, scope)
	case language.KindRun:
		return b.prepareRun(run, task, scope)
	case language.KindCall:
	default:
		return nil, unsupported(string(task.Kind))
	}
	switch task.Call.Function {
	case language.CallHTTP:
		request, err := b.prepareHTTP(task.Call.HTTP, run, scope)
		if err != nil {
			return nil, err
		}
		call := b.newCall(run, CallHTTP)
		call.HTTP = request.withheld(task.Secrets)
		return call, nil
	case language.CallOpenAPI:
		request, err := b.prepareOpenAPI(task.Call.OpenAPI, run, scope)
		if err != nil {
			return nil, err
		}
		call := b.newCall(run, CallOpenAPI)
		request.secret = task.Secrets
		call.OpenAPI = request
		return call, nil
	case language.CallGRPC, language.CallAsyncAPI, language.CallA2A, language.CallMCP:
		return nil, unsupported("call: " + task.Call.Function)
	}
	arguments, err := b.def.Fill(orEmpty(task.Call.With), run.Input, scope)
	if err != nil {
		return nil, err
	}
	call := b.newCall(run, CallFunction)
	call.Function = task.Call.Function
	call.Arguments, _ = arguments.(map[string]any)
	return call, nil
}

func (b *callBuilder) newCall(run *Run, kind CallKind) *Call {
	task := b.def.Task(run.Task)
	call := &Call{ID: callID(run), OnUnknown: task.OnUnknown, Key: b.state.Execution + run.Key, Task: run.Task, Name: task.Name,
		Attempt: max(run.Attempt, 1), Kind: kind, Compensation: b.state.Ending != nil}
	for at := run; ; at = b.state.run(at.Parent) {
		for _, due := range []time.Time{at.Deadline, at.AttemptDue} {
			if !due.IsZero() && (call.Deadline.IsZero() || due.Before(call.Deadline)) {
				call.Deadline = due
			}
		}
		if at.ID == 0 {
			return call
		}
	}
}

// prepareEmit builds the CloudEvent. Its id is the call's key, so that consumers can detect a repeated publication.
func (b *callBuilder) prepareEmit(run *Run, task *language.Task, scope language.Scope) (*Call, error) {
	filled, err := b.def.Fill(task.Emit, run.Input, scope)
	if err != nil {
		return nil, err
	}
	call := b.newCall(run, CallEmit)
	call.Message, _ = filled.(map[string]any)
	if err := b.eval.expandURIs(call.Message, task.Emit, run.Input, scope, "source", "dataschema"); err != nil {
		return nil, err
	}
	d := b.def.Document
	defaults := map[string]any{"specversion": "1.0", "id": call.Key, "time": run.StartedAt.UTC().Format(time.RFC3339Nano),
		"source": "urn:weft:workflow:" + d.Namespace + ":" + d.Name + ":" + d.Version}
	if _, given := call.Message["data"]; given {
		defaults["datacontenttype"] = "application/json"
	}
	for key, value := range defaults {
		if call.Message[key] == nil {
			call.Message[key] = value
		}
	}
	return call, nil
}

func (b *callBuilder) prepareRun(run *Run, task *language.Task, scope language.Scope) (*Call, error) {
	if task.Run.Workflow == nil {
		return nil, unsupported("run: " + task.Run.Kind)
	}
	child := task.Run.Workflow
	input := run.Input
	if child.Input != nil {
		filled, err := b.def.Fill(child.Input, run.Input, scope)
		if err != nil {
			return nil, err
		}
		input = filled
	}
	call := b.newCall(run, CallWorkflow)
	call.Workflow = childWorkflow(task.Run)
	call.Workflow.Input = input
	return call, nil
}

func (b *callBuilder) prepareHTTP(call *language.HTTPCall, run *Run, scope language.Scope) (*HTTPRequest, error) {
	target, err := b.def.ExpandURI(call.Endpoint.URI, run.Input, scope)
	if err != nil {
		return nil, err
	}
	request := &HTTPRequest{Output: call.Output, Redirect: call.Redirect}
	method, err := b.def.FillText(call.Method, run.Input, scope)
	if err != nil {
		return nil, err
	}
	request.Method = strings.ToUpper(method)
	query, err := b.eval.nameValues(call.Query, run.Input, scope)
	if err != nil {
		return nil, err
	}
	if request.URL, err = withQuery(target, query); err != nil {
		return nil, err
	}
	if request.Headers, err = b.eval.headerValues(call.Headers, run.Input, scope); err != nil {
		return nil, err
	}
	if call.HasBody {
		body, err := b.def.Fill(call.Body, run.Input, scope)
		if err != nil {
			return nil, err
		}
		if err := request.setBody(body); err != nil {
			return nil, err
		}
	}
	return request, b.authenticate(request, call.Endpoint.Authentication, run.Input, scope)
}

func (b *callBuilder) prepareOpenAPI(call *language.OpenAPICall, run *Run, scope language.Scope) (*OpenAPIRequest, error) {
	target, err := b.def.ExpandURI(call.Document.URI, run.Input, scope)
	if err != nil {
		return nil, err
	}
	if target, err = withQuery(target, nil); err != nil {
		return nil, err
	}
	// Raw, because descriptions come under many media types.
	document := &HTTPRequest{Method: "GET", URL: target, Headers: map[string]string{"accept": "application/json, application/yaml, */*;q=0.5"},
		Output: "raw", MaxBody: openapi.MaxDescription}
	if err := b.authenticate(document, call.Document.Authentication, run.Input, scope); err != nil {
		return nil, err
	}
	operation, err := b.def.FillText(call.OperationID, run.Input, scope)
	if err != nil {
		return nil, err
	}
	filled, err := b.def.Fill(orEmpty(call.Parameters), run.Input, scope)
	if err != nil {
		return nil, err
	}
	parameters, _ := filled.(map[string]any)
	probe := &HTTPRequest{Headers: map[string]string{}}
	if err := b.authenticate(probe, call.Authentication, run.Input, scope); err != nil {
		return nil, err
	}
	return &OpenAPIRequest{Document: document, OperationID: operation, Parameters: parameters, Output: call.Output,
		Redirect: call.Redirect, headers: probe.Headers,
		credentials: probe.Credentials}, nil
}

// authenticate adds the credentials of a policy, inline or from a secret, to a request. Those that must be obtained
// first are left to Send.
func (b *callBuilder) authenticate(r *HTTPRequest, policy *language.Authentication, input any, scope language.Scope) error {
	if policy == nil {
		return nil
	}
	if policy.Use != "" {
		policy = b.def.Use.Authentications[policy.Use]
	}
	values, err := b.eval.credentialsOf(policy, input, scope)
	if err != nil {
		return err
	}
	if authorization := staticAuthorization(policy.Scheme, values); authorization != "" {
		r.Headers["authorization"] = authorization
		return nil
	}
	r.Credentials = &Credentials{Scheme: policy.Scheme, values: values}
	return nil
}

// approvalRequest replaces a call whose result is unknown: if it is approved, the call is made again.
func (b *callBuilder) approvalRequest(run *Run) *Call {
	call := b.newCall(run, CallFunction)
	call.Key += "/unknown"
	call.Function = FunctionApproval
	call.Arguments = map[string]any{
		"title": "Repeat the call of " + call.Name + "?",
		"body": "The process that was making this call crashed, so it is unknown whether the call was made. " +
			"Approve to make it again; reject to end it with an error.",
	}
	return call
}

// isExternal is Call.External for a run, without building its call.
func (b *callBuilder) isExternal(run *Run) bool {
	task := b.def.Task(run.Task)
	return run.ApprovalRequested || task.Call != nil && task.Call.Function == FunctionApproval ||
		task.Run != nil && task.Run.Workflow != nil && task.Run.Await
}

func unsupported(what string) *Error {
	return NewError(TypeConfiguration, what+" is not supported yet")
}

func orEmpty(value map[string]any) map[string]any {
	if value == nil {
		return map[string]any{}
	}
	return value
}
