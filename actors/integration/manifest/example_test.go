package manifest_test

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/weftmesh/weft/actors/integration/manifest"
)

const orders = `id: acme
name: Acme
category: payments_commerce
base_url: '${ "https://" + .settings.shop + ".acme.example/api" }'
hosts: ["*.acme.example"]
settings: {type: object, required: [shop], properties: {shop: {type: string}}}
auth:
  - {id: token, kind: api_key, in: bearer}
health: {method: GET, path: /me}
actions:
  list_orders:
    title: List orders
    safety: read
    method: GET
    path: /customers/{customer}/orders
    input:
      type: object
      required: [customer]
      properties: {customer: {type: string}, page: {type: string}}
    query: {page_token: "${ .input.page }", limit: "100"}
    output: ${ .body.orders }
    pagination: {items: "${ .output.items }", cursor: page, next: "${ .body.next }"}
`

func ExampleLoad() {
	p, err := manifest.Load([]byte(orders))
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, a := range p.Actions {
		fmt.Println(p.Name, a.ID, a.Safety)
	}
	// Output: Acme list_orders read
}

func ExampleParse_faults() {
	_, err := manifest.Parse([]byte("id: acme\nname: 7\n"))
	var faults manifest.Faults
	if errors.As(err, &faults) {
		fmt.Println(faults[0])
	}
	// Output: 1:1: /actions: is required
}

func ExampleAction_Request() {
	p, _ := manifest.Load([]byte(orders))
	list, _ := p.Action("list_orders")
	conn := manifest.Connection{
		Settings:    map[string]any{"shop": "demo"},
		Credentials: map[string]any{"api_key": "s3cret-key"},
	}
	input := map[string]any{"customer": "c/7"}
	if err := list.ValidateInput(input); err != nil {
		fmt.Println(err)
		return
	}
	r, err := list.Request(conn, manifest.Call{Input: input})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(r.Method, r.URL)
	fmt.Println(r.Header.Get("Authorization"))
	fmt.Println(r.Hosts, r.Safety)
	// Output:
	// GET https://demo.acme.example/api/customers/c%2F7/orders?limit=100
	// Bearer s3cret-key
	// [*.acme.example] read
}

func ExampleAction_ValidateInput() {
	p, _ := manifest.Load([]byte(orders))
	list, _ := p.Action("list_orders")
	fmt.Println(list.ValidateInput(map[string]any{"page": 2}))
	// Output: /customer is required; /page must be string, not number
}

func ExampleAction_Interpret() {
	p, _ := manifest.Load([]byte(orders))
	list, _ := p.Action("list_orders")
	var conn manifest.Connection
	input := map[string]any{"customer": "c7"}

	answer := manifest.Answer{Status: 200, Body: []byte(`{"orders":["o1","o2"],"next":"t2"}`)}
	output, failed := list.Interpret(conn, input, answer)
	fmt.Println(output, failed == nil)
	next, more, _ := list.NextPage(conn, input, answer)
	fmt.Println(next, more)

	answer = manifest.Answer{Status: 429, Header: http.Header{"Retry-After": {"30"}}, Body: []byte(`{"message":"slow down"}`)}
	_, failed = list.Interpret(conn, input, answer)
	fmt.Println(failed, failed.RetryAfter)
	// Output:
	// map[items:[o1 o2] next_cursor:t2] true
	// map[customer:c7 page:t2] true
	// limited (HTTP 429): slow down 30s
}
