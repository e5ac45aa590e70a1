package extension

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/weftmesh/weft/subjects"
)

// State is what is known of an extension. It is immutable.
type State struct {
	Name       string
	EnrolledAt time.Time
	// Up: a copy has answered the last time that the extension was asked.
	Up bool
	// Copies is how many copies answered then, Versions are theirs, and Functions those that they serve; of one that is down, those that it
	// served last. Functions are in the order of their names, the newest version of each first.
	Copies    int
	Versions  []string
	Functions []*Function
	// SeenAt is when a copy answered last; zero: none ever has.
	SeenAt time.Time
	// Fault is what is wrong with the extension as a whole.
	Fault string

	// asked is when the extension was asked last, by this process.
	asked time.Time
}

// Function returns the newest version of a function, or the named version; nil if there is none.
func (s *State) Function(name, version string) *Function {
	for _, f := range s.Functions {
		if f.Name == name && (version == "" || f.Version == version) {
			return f
		}
	}
	return nil
}

// copyInfo is what a copy of an extension answers about itself ($SRV.INFO of NATS micro).
type copyInfo struct {
	Type      string `json:"type"`
	Name      string `json:"name"`
	ID        string `json:"id"`
	Version   string `json:"version"`
	Endpoints []struct {
		Subject    string            `json:"subject"`
		QueueGroup string            `json:"queue_group"`
		Metadata   map[string]string `json:"metadata"`
	} `json:"endpoints"`
}

// infoType is the type of copyInfo.
const infoType = "io.nats.micro.v1.info_response"

// declaration is a function as copies declare it.
type declaration struct {
	Name     string            `json:"name"`
	Metadata map[string]string `json:"metadata"`
	// Service is the version of the newest copy that declares it.
	Service string `json:"service"`
	Copies  int    `json:"copies"`
}

// declarationsOf collects what copies declare, in the order of the names, the newest first. The fault is what is beyond the bounds, and left
// out.
func declarationsOf(namespace string, copies []copyInfo) (list []declaration, fault string) {
	found := map[string]*declaration{}
	var order []string
	size := 0
	for _, c := range copies {
		for _, e := range c.Endpoints {
			name, below := strings.CutPrefix(e.Subject, subjects.FunctionSubject(namespace, ""))
			if !below || strings.HasSuffix(name, ".cancel") {
				continue // not callable: a listener for cancellations
			}
			metadata := map[string]string{}
			bytes := len(name)
			for key, value := range e.Metadata {
				if strings.HasPrefix(key, keyPrefix) {
					metadata[key] = value
					bytes += len(key) + len(value)
				}
			}
			if e.QueueGroup == "" {
				metadata[keyQueueGroup] = "none"
			}
			id := identityOf(name, metadata)
			d, known := found[id]
			if !known {
				if len(found) == MaxFunctions || size+bytes > MaxMetadata {
					fault = fmt.Sprintf("functions are left out: an extension may have %d, with %d bytes of metadata", MaxFunctions, MaxMetadata)
					continue
				}
				size += bytes
				d = &declaration{Name: name, Metadata: metadata, Service: c.Version}
				found[id], order = d, append(order, id)
			}
			d.Copies++
			if compareVersions(c.Version, d.Service) > 0 {
				d.Service = c.Version
			}
		}
	}
	for _, id := range order {
		list = append(list, *found[id])
	}
	slices.SortStableFunc(list, func(a, b declaration) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), -compareVersions(a.Service, b.Service), -cmp.Compare(a.Copies, b.Copies),
			cmp.Compare(identityOf(a.Name, a.Metadata), identityOf(b.Name, b.Metadata)))
	})
	return list, fault
}

// identityOf is the same for equal declarations.
func identityOf(name string, metadata map[string]string) string {
	data, err := json.Marshal(metadata) // its keys are sorted
	if err != nil {
		return name
	}
	return name + "\x00" + string(data)
}

// functionsOf reads declarations. A function whose versions differ only in what a version is not, such as the summary, is one.
func functionsOf(list []declaration, known func(name string, metadata map[string]string) *Function) []*Function {
	var functions []*Function
	for _, d := range list {
		f := *known(d.Name, d.Metadata)
		f.Copies, f.service = d.Copies, d.Service
		at := slices.IndexFunc(functions, func(other *Function) bool { return other.Name == f.Name && other.Version == f.Version })
		if at >= 0 {
			functions[at].Copies += f.Copies
			continue
		}
		functions = append(functions, &f)
	}
	return functions
}

// compareVersions orders versions by their numbers: 1.10.0 is after 1.9.0.
func compareVersions(a, b string) int {
	as, bs := strings.FieldsFunc(a, isSeparator), strings.FieldsFunc(b, isSeparator)
	for i := range min(len(as), len(bs)) {
		x, notX := strconv.ParseUint(as[i], 10, 64)
		y, notY := strconv.ParseUint(bs[i], 10, 64)
		c := cmp.Compare(as[i], bs[i])
		if notX == nil && notY == nil {
			c = cmp.Compare(x, y)
		}
		if c != 0 {
			return c
		}
	}
	return cmp.Compare(len(as), len(bs))
}

func isSeparator(r rune) bool { return r == '.' || r == '-' || r == '+' }
