package subjects_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/weftmesh/weft/subjects"
)

// An endpoint is a typed value: it validates and decodes what arrives on its subject.
func ExampleEndpoint_Decode() {
	request, err := subjects.Login.Decode([]byte(`{"email": "ada@example.com", "password": "correct horse"}`))
	fmt.Println(request.Email, err)
	_, err = subjects.Login.Decode([]byte(`{"email": "ada@example.com", "pasword": "correct horse"}`))
	var e *subjects.Error
	if errors.As(err, &e) {
		for _, field := range e.Fields {
			fmt.Printf("%s: %s\n", field.Field, field.Message)
		}
	}
	// Output:
	// ada@example.com <nil>
	// password: is required
	// pasword: unexpected property
}

// The descriptor has what the gateway and the runtime need to serve an endpoint.
func ExampleEndpoint_Describe() {
	d := subjects.ExecuteAction.Describe()
	fmt.Println(d.Subject)
	fmt.Println(d.HTTPMethod, d.Path)
	fmt.Println(d.Access)
	fmt.Println(d.ServiceSubject("workflow"))
	// Output:
	// weft.v1.integration.execute_action
	// POST /v1/integrations/{integration_id}/actions/{action}
	// user, or key with integrations.execute; service workflow under a grant
	// weft.v1.integration.execute_action.as.workflow
}

// Validate checks a message without decoding it.
func ExampleDescriptor_Validate() {
	d := subjects.ListWorkflows.Describe()
	fmt.Println(d.Validate([]byte(`{"limit": 200}`)))
	fmt.Println(d.Validate([]byte(`{"limit": 201}`)))
	// Output:
	// <nil>
	// invalid: limit: expected number <= 200
}

// An error matches a target of the same code and, if the target has one, the same reason, also after it was received from
// another process.
func ExampleError_Is() {
	sent := &subjects.Error{
		Code: subjects.CodeUnavailable, Reason: subjects.ReasonPartitionMoving, Detail: "partition ownership is moving; retry",
		RetryAfter: subjects.RetrySoon,
	}
	body, _ := json.Marshal(subjects.ProblemOf(sent, "", ""))
	received := subjects.ParseProblem(body)

	fmt.Println(errors.Is(received, sent))
	fmt.Println(errors.Is(received, &subjects.Error{Code: subjects.CodeUnavailable, Reason: subjects.ReasonOverloaded}))
	fmt.Println(errors.Is(received, &subjects.Error{Code: subjects.CodeUnavailable}))
	fmt.Println(subjects.Transient(received), received.RetryAfter)
	// Output:
	// true
	// false
	// true
	// true 1s
}

// A problem is the same over NATS and HTTP, and carries no cause.
func ExampleProblemOf() {
	err := fmt.Errorf("creating the workflow: %w", &subjects.Error{
		Code: subjects.CodeConflict, Reason: subjects.ReasonAlreadyExists, Detail: "the id is taken", Cause: errors.New("UNIQUE constraint failed"),
	})
	body, _ := json.MarshalIndent(subjects.ProblemOf(err, "", "4bf92f35"), "", "  ")
	fmt.Println(string(body))
	// Output:
	// {
	//   "type": "urn:weft:error:conflict",
	//   "title": "Conflict",
	//   "status": 409,
	//   "detail": "the id is taken",
	//   "code": "conflict",
	//   "reason": "already_exists",
	//   "trace_id": "4bf92f35"
	// }
}

// A PATCH distinguishes a field that is absent from one that is null.
func ExampleOptional() {
	for _, message := range []string{`{}`, `{"first_name": null}`, `{"first_name": "Ada"}`} {
		request, err := subjects.UpdateUserProfile.Decode([]byte(message))
		if err != nil {
			fmt.Println(err)
			continue
		}
		name, present := request.FirstName.Get()
		fmt.Printf("set %t, value %q %t\n", request.FirstName.Set, name, present)
	}
	// Output:
	// set false, value "" false
	// set true, value "" false
	// set true, value "Ada" true
}

// The message of an event is a CloudEvent.
func ExampleEvent_New() {
	at := time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)
	event := subjects.SessionStartedEvent.New("e1", "u1", at, subjects.SessionStarted{SessionID: "s1", Method: "passkey"})
	message, _ := json.Marshal(event)
	fmt.Println(string(message))
	// Output:
	// {"specversion":"1.0","id":"e1","source":"weft/auth","type":"weft.auth.session_started","time":"2030-01-02T03:04:05Z","subject":"u1","data":{"session_id":"s1","method":"passkey"}}
}
