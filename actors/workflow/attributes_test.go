package workflow_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/subjects"
)

// withAttributes returns a definition with attributes.
func withAttributes(attributes string) string {
	return strings.Replace(workflowOf("- say: {set: {x: 1}}\n"), "version: '0.1.0'}", "version: '0.1.0', metadata: {attributes: "+attributes+"}}", 1)
}

func TestAttributes(t *testing.T) {
	actortest.OnEach(t, func(t *testing.T, database actortest.Database) {
		b := setup(t, database)
		w := call(t, b, subjects.CreateWorkflow, subjects.WorkflowDefinitionRequest{Definition: yaml(t, withAttributes(
			`{order: '${ .order }', who: '${ .customer.name }', big: '${ .total > 100 }', fixed: eu, missing: '${ .nowhere }', wrong: '${ .order | error }'}`))})
		execute := func(input string) string {
			return call(t, b, subjects.ExecuteWorkflow, subjects.ExecuteWorkflowRequest{WorkflowID: w.ID, Input: json.RawMessage(input)}).ID
		}
		first := execute(`{"order": 1001, "customer": {"name": "Ada \"the\" 100%_ \\ countess: 1\"fixed\":\"us\""}, "total": 12}`)
		second := execute(`{"order": 1002, "customer": {"name": "Grace"}, "total": 120}`)
		find := func(attributes ...string) (ids []string) {
			for _, e := range call(t, b, subjects.ListExecutions, subjects.ListExecutionsRequest{Attribute: attributes}).Items {
				ids = append(ids, e.ID)
			}
			return ids
		}
		for _, test := range []struct {
			want       string
			attributes []string
		}{
			{first, []string{"order:1001"}}, {second, []string{"who:Grace"}}, {second, []string{"big:true"}},
			{first, []string{`who:Ada "the" 100%_ \ countess: 1"fixed":"us"`}}, {second, []string{"fixed:eu", "order:1002"}},
		} {
			if got := find(test.attributes...); len(got) != 1 || got[0] != test.want {
				t.Errorf("%v selects %v, want %s", test.attributes, got, test.want)
			}
		}
		for _, none := range []string{"order:100", "order:%", "fixed:us", "missing:null", "wrong:1001", "who:Grac_"} {
			if got := find(none); len(got) != 0 {
				t.Errorf("%s selects %v", none, got)
			}
		}
		if got := b.getExecution(t, second).Attributes; fmt.Sprint(got) != "map[big:true fixed:eu order:1002 who:Grace]" {
			t.Errorf("the attributes are %v", got)
		}
		wantCode(t, b, subjects.CodeInvalid, subjects.ListExecutions, b.as, subjects.ListExecutionsRequest{Attribute: []string{"order"}})
		for _, faulty := range []string{"[]", "{1x: a}", "{a: 1}", "{a: '${ . | }'}"} {
			err := wantCode(t, b, subjects.CodeInvalid, subjects.CreateWorkflow, b.as,
				subjects.WorkflowDefinitionRequest{Definition: yaml(t, withAttributes(faulty))})
			if len(err.Fields) != 1 || !strings.HasPrefix(err.Fields[0].Pointer, "/document/metadata/attributes") || err.Fields[0].Column < 10 {
				t.Errorf("%s: faults %+v", faulty, err.Fields)
			}
		}
	})
}
