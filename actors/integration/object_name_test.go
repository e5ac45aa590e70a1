package integration_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/subjects"
)

// TestFileNamesOfResponses: an object has the name that the response's Content-Disposition gives (RFC 6266), also where that is not quite
// of the grammar; and only the name.
func TestFileNamesOfResponses(t *testing.T) {
	t.Parallel()
	v := newFakeProvider(t, respond(200, `{}`))
	b := setup(t, actortest.Databases(t)[0])
	_, ada := b.user(t)
	c := b.connectTo(t, v, ada, "")
	for value, want := range map[string]string{
		`attachment; filename=my report.pdf`: "my report.pdf", `attachment; filename=myFile(1).jpg`: "myFile(1).jpg", `attachment;filename="a;b, c.pdf"`: "a;b, c.pdf",
		`attachment; filename*=iso-8859-1'en'caf%E9.txt`: "café.txt", `attachment; filename*=UTF-8''na%C3%AFve%20file.txt`: "naïve file.txt",
		`attachment; filename="plain.txt"; filename*=UTF-8''%e2%82%ac.txt`: "€.txt", `attachment; filename*=utf-8''%zz; filename=ok.txt`: "ok.txt",
		`attachment; filename*=nonsense''a.txt; filename=ok.txt`: "ok.txt", `attachment; FileName = "x.txt" ; size=3`: "x.txt", `filename=bare.txt`: "bare.txt",
		`inline; filename="say \"hi\".txt"`: `say "hi".txt`, `attachment; filename="C:\dir\f.txt"`: "f.txt", `attachment; filename="../../etc/passwd"`: "passwd",
		`attachment; filename*=UTF-8''..%2F..%2Fpasswd`: "passwd", `attachment; filename="=?UTF-8?B?w6kudHh0?="`: "é.txt", "attachment; filename=caf\xe9.txt": "café.txt",
		`attachment; filename="é.txt"`: "é.txt", `attachment; filename*0="long "; filename*1="name.txt"`: "long name.txt",
		`attachment; filename*0*=UTF-8''%c3%a9; filename*1*=%20x.txt`: "é x.txt", `attachment; filename="open.txt`: "open.txt", `attachment; filename=100%.txt`: "100%.txt",
		`attachment; filename*="UTF-8''q.txt"`: "q.txt", `attachment; filename=a.txt; filename=b.txt`: "a.txt", "attachment; filename=\"a\u202egpj.exe\"": "agpj.exe",
		`attachment`: "data.bin", ``: "data.bin", `attachment; filename=`: "data.bin", `attachment; filename=".."`: "data.bin", `attachment; filename=" "`: "data.bin",
		`attachment; filename="` + strings.Repeat("x", 9<<10) + `"`: "data.bin", `;;;=;=`: "data.bin",
	} {
		v.setHandler(func(w http.ResponseWriter, _ *http.Request) {
			w.Header()["Content-Disposition"] = []string{value}
			_, _ = w.Write([]byte("content"))
		})
		reply := call(t, b, subjects.ProxyCall, ada, subjects.ProxyRequest{IntegrationID: c.ID, Method: "GET", Path: "/data.bin", ToObject: true})
		if reply.Object == nil || reply.Object.Name != want {
			t.Errorf("%.80s: the object is %+v, want the name %s", value, reply.Object, want)
		}
	}
}
