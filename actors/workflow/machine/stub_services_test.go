package machine

import (
	"crypto/md5"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
)

// stubServices responds like the services that the conformance kit calls, for the requests of its scenarios: the pet
// store, httpbin and an OpenID provider.
func stubServices() http.Handler {
	mux := http.NewServeMux()
	pet := func(id int) map[string]any { return map[string]any{"id": id, "name": "Milou", "status": "available"} }
	mux.HandleFunc("GET petstore.swagger.io/v2/pet/findByStatus", func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("status") != "available" {
			writeJSON(w, []any{})
			return
		}
		writeJSON(w, []any{pet(1), pet(2)})
	})
	mux.HandleFunc("GET petstore.swagger.io/v2/pet/{id}", func(w http.ResponseWriter, r *http.Request) {
		var id int
		if _, err := fmt.Sscanf(r.PathValue("id"), "%d", &id); err != nil {
			http.NotFound(w, r)
			return
		}
		writeJSON(w, pet(id))
	})
	mux.HandleFunc("GET petstore.swagger.io/v2/swagger.json", func(w http.ResponseWriter, _ *http.Request) {
		parameter := func(name, in string) []any { return []any{map[string]any{"name": name, "in": in, "required": true}} }
		writeJSON(w, map[string]any{"swagger": "2.0", "host": "petstore.swagger.io", "basePath": "/v2",
			"schemes": []any{"https", "http"}, "paths": map[string]any{
				"/pet/findByStatus": map[string]any{"get": map[string]any{"operationId": "findPetsByStatus",
					"parameters": parameter("status", "query")}},
				"/pet/{petId}": map[string]any{"get": map[string]any{"operationId": "getPetById",
					"parameters": parameter("petId", "path")}}}})
	})
	mux.HandleFunc("GET httpbin.org/basic-auth/{user}/{password}", func(w http.ResponseWriter, r *http.Request) {
		user, password, _ := r.BasicAuth()
		if user != r.PathValue("user") || password != r.PathValue("password") {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		writeJSON(w, map[string]any{"authenticated": true, "user": user})
	})
	mux.HandleFunc("GET httpbin.org/bearer", func(w http.ResponseWriter, r *http.Request) {
		token, given := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		if !given {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		writeJSON(w, map[string]any{"authenticated": true, "token": token})
	})
	mux.HandleFunc("GET httpbin.org/digest-auth/auth/{user}/{password}", digestAuth)
	mux.HandleFunc("GET keycloak.test/realms/r/.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, map[string]any{"token_endpoint": "https://keycloak.test/realms/r/token"})
	})
	mux.HandleFunc("POST keycloak.test/realms/r/token", func(w http.ResponseWriter, r *http.Request) {
		id, secret, inHeader := r.BasicAuth()
		if !inHeader {
			id, secret = r.FormValue("client_id"), r.FormValue("client_secret")
		}
		if id != "weft" || secret != "s3cret" || r.FormValue("grant_type") != "client_credentials" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		writeJSON(w, map[string]any{"access_token": "granted", "token_type": "bearer"})
	})
	return mux
}

// digestAuth verifies a digest by RFC 7616 with MD5.
func digestAuth(w http.ResponseWriter, r *http.Request) {
	hash := func(parts ...string) string {
		sum := md5.Sum([]byte(strings.Join(parts, ":")))
		return hex.EncodeToString(sum[:])
	}
	given := map[string]string{}
	for _, match := range challengeParameter.FindAllStringSubmatch(r.Header.Get("Authorization"), -1) {
		given[match[1]] = match[2] + match[3]
	}
	want := hash(hash(r.PathValue("user"), "realm", r.PathValue("password")), "n0nce", given["nc"], given["cnonce"], "auth",
		hash(r.Method, r.URL.RequestURI()))
	if given["response"] != want {
		w.Header().Set("WWW-Authenticate", `Digest realm="realm", nonce="n0nce", qop="auth"`)
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	writeJSON(w, map[string]any{"authenticated": true, "user": given["username"]})
}

func writeJSON(w http.ResponseWriter, value any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(value)
}
