package openapi

import (
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strings"

	"github.com/weftmesh/weft/actors/workflow/language"
)

var serverVariable = regexp.MustCompile(`\{([^{}]+)\}`)

// server is the URL that the path of an operation is relative to: that of the first server of the operation, else of its
// path item, else of the description (OpenAPI 3.1.1 §4.8.5). A relative one is resolved against the description's own URL.
func (d *Description) server(op *operation, location string) (string, error) {
	base, err := url.Parse(location)
	if err != nil {
		return "", errors.New("the URL of the OpenAPI description is invalid")
	}
	target := "/"
	if d.root["swagger"] != nil {
		target = d.swaggerServer(op, base)
	} else {
		for _, holder := range []map[string]any{op.body, op.item, d.root} {
			if servers, _ := holder["servers"].([]any); len(servers) > 0 {
				if target, err = expandServer(objectOf(servers[0])); err != nil {
					return "", err
				}
				break
			}
		}
	}
	resolved, err := base.Parse(target)
	if err != nil {
		return "", errors.New("the server URL of the OpenAPI description is invalid")
	}
	return strings.TrimSuffix(resolved.String(), "/"), nil
}

// expandServer replaces the variables of a server's URL by their defaults, or by their only or first allowed value.
func expandServer(server map[string]any) (string, error) {
	variables := objectOf(server["variables"])
	var missing string
	expanded := serverVariable.ReplaceAllStringFunc(textOf(server["url"]), func(match string) string {
		name := match[1 : len(match)-1]
		variable := objectOf(variables[name])
		value, given := variable["default"]
		if allowed, _ := variable["enum"].([]any); !given && len(allowed) > 0 {
			value, given = allowed[0], true
		}
		if !given {
			missing = name
		}
		return language.Text(value)
	})
	if missing != "" {
		return "", fmt.Errorf("the variable %.60q of the server's URL has no default in the OpenAPI description", missing)
	}
	return expanded, nil
}

// swaggerServer is the server of Swagger 2.0: schemes, host and basePath, each by default that of the description.
func (d *Description) swaggerServer(op *operation, base *url.URL) string {
	scheme, host := base.Scheme, base.Host
	schemes, _ := op.body["schemes"].([]any)
	if len(schemes) == 0 {
		schemes, _ = d.root["schemes"].([]any)
	}
	if len(schemes) > 0 {
		scheme = language.Text(schemes[0])
		for _, offered := range schemes {
			if offered == base.Scheme {
				scheme = base.Scheme
			}
		}
	}
	if text := textOf(d.root["host"]); text != "" {
		host = text
	}
	path := textOf(d.root["basePath"])
	if path != "" && !strings.HasPrefix(path, "/") {
		path = "/" + path
	}
	return scheme + "://" + host + path
}
