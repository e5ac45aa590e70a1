package providers_test

import (
	"encoding/json"
	"fmt"
	"html"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/weftmesh/weft/actors/egress"
	"github.com/weftmesh/weft/actors/integration/manifest"
)

// pagesCase says how a provider pages a list; see testdata/pages/pages.yaml.
type pagesCase struct {
	Kind       string            `yaml:"kind"`
	Takes      string            `yaml:"takes"`
	Size       int               `yaml:"size"`
	Sized      string            `yaml:"sized"`
	Without    []string          `yaml:"without"`
	Token      string            `yaml:"token"`
	Absent     bool              `yaml:"absent"`
	Item       any               `yaml:"item"`
	Body       any               `yaml:"body"`
	Text       string            `yaml:"text"`
	LastText   string            `yaml:"last_text"`
	Header     map[string]string `yaml:"header"`
	LastHeader map[string]string `yaml:"last_header"`
}

// pagesOf is the number of pages that a list has in these tests.
const pagesOf = 3

// TestEveryPaginatedActionReachesTheEnd follows next_cursor through three pages of every paginated action, against a server that
// pages as the provider documents it. The manifests say which actions there are.
func TestEveryPaginatedActionReachesTheEnd(t *testing.T) {
	t.Parallel()
	loaded, err := loadAll()
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile("testdata/pages/pages.yaml")
	if err != nil {
		t.Fatal(err)
	}
	pages := map[string]*pagesCase{}
	if err := yaml.Unmarshal(text, &pages); err != nil {
		t.Fatal(err)
	}
	client, err := egress.New(egress.Options{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, AllowHTTP: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	for id, p := range loaded {
		for _, a := range p.Actions {
			name := id + "." + a.ID
			if !a.Paginated {
				continue
			}
			c := pages[name]
			if delete(pages, name); c == nil {
				t.Errorf("testdata/pages/pages.yaml does not say how %s is paged", name)
				continue
			}
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				c.Size = max(c.Size, 2)
				c.follow(t, client, p, a)
			})
		}
	}
	for name := range pages {
		t.Errorf("testdata/pages/pages.yaml has %s, which is not a paginated action", name)
	}
}

// follow calls the action until its output has no next_cursor.
func (c *pagesCase) follow(t *testing.T, client *egress.Client, p *manifest.Provider, a *manifest.Action) {
	server := httptest.NewServer(http.HandlerFunc(c.serve))
	defer server.Close()
	recorded := caseOf(t, p.ID)
	conn := withFetchedToken(p, recorded.connection(p, "", nil, nil))
	conn.BaseURL = server.URL
	input := maps.Clone(a.Example)
	for _, field := range append(c.Without, a.Cursor) {
		delete(input, field)
	}
	if c.Sized != "" {
		input[c.Sized] = c.Size
	}
	var items []any
	for page := 1; ; page++ {
		if err := a.ValidateInput(input); err != nil {
			t.Fatalf("page %d: the input is invalid: %v", page, err)
		}
		r, err := a.Request(conn, manifest.Call{Input: input})
		if err != nil {
			t.Fatal(err)
		}
		got, err := client.Do(t.Context(), r.Request)
		if err != nil {
			t.Fatal(err)
		}
		output, failed := a.Interpret(conn, input, manifest.Answer{Status: got.Status, Header: got.Header, Body: got.Body})
		if failed != nil {
			t.Fatalf("page %d: %v", page, failed)
		}
		items = append(items, a.Items(output)...)
		cursor, more := output.(map[string]any)[manifest.NextCursorField]
		if more != (page < pagesOf) {
			t.Fatalf("page %d has the cursor %v", page, cursor)
		}
		if !more {
			break
		}
		input = maps.Clone(input)
		input[a.Cursor] = cursor
	}
	if want := (pagesOf-1)*c.Size + 1; len(items) != want {
		t.Fatalf("%d items, want %d", len(items), want)
	}
	for i, item := range items {
		if !strings.Contains(asJSON(t, item), strconv.Itoa(itemID(i))) {
			t.Errorf("item %d is %s", i, asJSON(t, item))
		}
	}
	schema, _ := a.OutputSchema.(map[string]any)
	properties, _ := schema["properties"].(map[string]any)
	if properties[manifest.NextCursorField] == nil {
		t.Errorf("the output schema has no next_cursor: %s", asJSON(t, schema))
	}
}

// itemID is the id of an item by its place in the whole list. Ids fall, as those of lists whose newest item is first.
func itemID(i int) int { return 200_000 - i }

// cursor is the cursor of a page that is not the first.
func (c *pagesCase) cursor(page int) string {
	switch c.Kind {
	case "page":
		return strconv.Itoa(page + 1)
	case "page0":
		return strconv.Itoa(page)
	case "offset":
		return strconv.Itoa(page * c.Size)
	case "last":
		return strconv.Itoa(itemID(page*c.Size - 1))
	}
	if c.Token != "" {
		return c.Token + strconv.Itoa(page)
	}
	return fmt.Sprintf("tok/%d+a b&c==", page)
}

// serve answers with the page whose cursor the request has.
func (c *pagesCase) serve(w http.ResponseWriter, r *http.Request) {
	given, page := c.given(r), 0
	// The first page of some providers has a cursor too.
	for page < pagesOf && (page > 0 || given != "" && !slices.Contains([]string{"page 1", "page0 0", "offset 0", " 0"}, c.Kind+" "+given)) {
		if page > 0 && given == c.cursor(page) {
			break
		}
		page++
	}
	if page == pagesOf {
		http.Error(w, `{"message": "unknown cursor `+given+`"}`, http.StatusBadRequest)
		return
	}
	more := page < pagesOf-1
	size, header := c.Size, c.Header
	if !more {
		size, header = 1, c.LastHeader
	}
	values := map[string]any{
		"@more": more, "@last": !more, "@offset": page * c.Size, "@page": page + 1, "@size": c.Size, "@total": (pagesOf-1)*c.Size + 1, "@pages": pagesOf,
		"@next": nil, "@text": "", "@end": "end",
	}
	if more {
		values["@next"], values["@text"], values["@end"] = c.cursor(page+1), c.cursor(page+1), c.cursor(page+1)
	}
	var items, ids []any
	byID := map[string]any{}
	for i := range size {
		id := strconv.Itoa(itemID(page*c.Size + i))
		item := c.fill(c.Item, map[string]any{"@id": id})
		items, ids, byID[id] = append(items, item), append(ids, id), item
	}
	values["@items"], values["@ids"], values["@by_id"] = items, ids, byID
	w.Header().Set("Content-Type", "application/json")
	for name, value := range header {
		w.Header().Set(name, strings.ReplaceAll(value, "@next", fmt.Sprint(values["@next"])))
	}
	if c.Text != "" {
		w.Header().Set("Content-Type", "application/xml")
		text := c.Text
		if !more {
			text = c.LastText
		}
		_, _ = io.WriteString(w, strings.NewReplacer("@items", strings.Trim(fmt.Sprint(items...), "[]"), "@next", html.EscapeString(fmt.Sprint(values["@next"]))).Replace(text))
		return
	}
	_ = json.NewEncoder(w).Encode(c.fill(c.Body, values))
}

// given is the cursor of a request.
func (c *pagesCase) given(r *http.Request) string {
	kind, name, _ := strings.Cut(c.Takes, " ")
	switch kind {
	case "query":
		return r.URL.Query().Get(name)
	case "path":
		if last := path.Base(r.URL.Path); last != "query" {
			return last
		}
		return ""
	}
	var body any
	if json.NewDecoder(r.Body).Decode(&body) != nil {
		return "no JSON"
	}
	for key := range strings.SplitSeq(name, "/") {
		object, _ := body.(map[string]any)
		body = object[key]
	}
	if body == nil {
		return ""
	}
	return fmt.Sprint(body)
}

// fill replaces the placeholders of a template.
func (c *pagesCase) fill(template any, values map[string]any) any {
	switch v := template.(type) {
	case string:
		if value, ok := values[v]; ok {
			return value
		}
		if value, ok := values["@next"]; ok && (strings.Contains(v, "@next") || strings.Contains(v, "@link")) {
			if value == nil {
				return nil
			}
			next := value.(string)
			return strings.NewReplacer("@next", next, "@link", url.QueryEscape(next), "@page", fmt.Sprint(values["@page"])).Replace(v)
		}
		return strings.ReplaceAll(v, "@id", fmt.Sprint(values["@id"]))
	case map[string]any:
		if inner, ok := v["@more"]; ok {
			if values["@more"] != true {
				return nil
			}
			return c.fill(inner, values)
		}
		filled := map[string]any{}
		for key, item := range v {
			if value := c.fill(item, values); value != nil || !c.Absent {
				filled[key] = value
			}
		}
		return filled
	case []any:
		filled := make([]any, len(v))
		for i, item := range v {
			filled[i] = c.fill(item, values)
		}
		return filled
	}
	return template
}
