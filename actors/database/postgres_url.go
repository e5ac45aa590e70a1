package database

import (
	"crypto/tls"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/uptrace/bun/driver/pgdriver"
)

// postgresDSN is a parsed PostgreSQL connection string. pgdriver's own parser is not used, because it treats sslmode=prefer as TLS
// without verification, turns unknown parameters into SET statements, and knows neither keywords nor PG* variables.
type postgresDSN struct {
	network, addr            string
	user, password, database string
	appName, schemaPrefix    string
	dialTimeout              time.Duration
	encryption               postgresEncryption
}

// errPostgresURL shows nothing of the text, which may have a password in any place.
var errPostgresURL = errors.New("malformed PostgreSQL connection string (not shown, it may hold a password): want " +
	"postgres://user:password@host:port/database?sslmode=…, with special characters percent-encoded, or keywords such as " +
	"host=… user=… password=… dbname=… (libpq's connection strings)")

// postgresVariables are the environment variables that give what a connection string does not, as in libpq
// (https://www.postgresql.org/docs/current/libpq-envars.html).
var postgresVariables = map[string]string{
	"host": "PGHOST", "hostaddr": "PGHOSTADDR", "port": "PGPORT", "dbname": "PGDATABASE", "user": "PGUSER", "password": "PGPASSWORD",
	"application_name": "PGAPPNAME", "connect_timeout": "PGCONNECT_TIMEOUT", "sslmode": "PGSSLMODE", "sslrootcert": "PGSSLROOTCERT",
	"sslcert": "PGSSLCERT", "sslkey": "PGSSLKEY",
}

// postgresIgnored are libpq's parameters that may have one of the values, which ask for nothing that is not so anyway.
var postgresIgnored = map[string][]string{
	"channel_binding": {"disable", "prefer"}, "gssencmode": {"disable", "prefer"}, "target_session_attrs": {"any"},
	"client_encoding": {"UTF8", "utf8", "auto"}, "sslcompression": {"0"}, "load_balance_hosts": {"disable"},
}

// isPostgres reports whether a database URL is a connection string of PostgreSQL: a URL, or libpq's keywords and values.
func isPostgres(text string) bool {
	return strings.HasPrefix(text, "postgres:") || strings.HasPrefix(text, "postgresql:") || keywordForm.MatchString(text)
}

var keywordForm = regexp.MustCompile(`^\s*[a-z_]+\s*=`)

// parsePostgres parses a URL or keywords, as libpq does (https://www.postgresql.org/docs/current/libpq-connect.html §34.1.1). getenv
// reads PG* variables. No error contains a value.
func parsePostgres(text string, getenv func(string) string) (postgresDSN, error) {
	parse := parseKeywords
	if strings.HasPrefix(text, "postgres:") || strings.HasPrefix(text, "postgresql:") {
		parse = parseURL
	}
	params, err := parse(text)
	if err != nil {
		return postgresDSN{}, err
	}
	for name, variable := range postgresVariables {
		if value := getenv(variable); value != "" && params[name] == "" {
			params[name] = value
		}
	}
	return dsnOf(params)
}

// dsnOf builds a postgresDSN of libpq's parameters.
func dsnOf(params map[string]string) (postgresDSN, error) {
	take := func(name, absent string) string {
		value := params[name]
		delete(params, name)
		if value == "" {
			return absent
		}
		return value
	}
	host, port := take("host", "localhost"), take("port", "5432")
	address := take("hostaddr", host)
	if n, err := strconv.Atoi(port); err != nil || n < 1 || n > 65535 || strings.Contains(host, ",") {
		return postgresDSN{}, errors.New("one host and one port of 1 to 65535 are supported")
	}
	d := postgresDSN{network: "tcp", addr: net.JoinHostPort(address, port), dialTimeout: pgDialTimeout}
	if strings.HasPrefix(address, "/") {
		d.network, d.addr = "unix", address+"/.s.PGSQL."+port
	}
	d.user, d.password = take("user", "postgres"), take("password", "")
	d.database = take("dbname", d.user)
	d.appName, d.schemaPrefix = take("application_name", take("fallback_application_name", "")), take("schema_prefix", "weft_")
	if s := take("connect_timeout", ""); s != "" {
		seconds, err := strconv.Atoi(s)
		if err != nil || seconds < 1 {
			return d, errors.New("invalid connect_timeout, want a number of seconds")
		}
		d.dialTimeout = time.Duration(seconds) * time.Second
	}
	d.encryption = postgresEncryption{
		mode: take("sslmode", defaultSSLMode(address)), host: host, rootCert: take("sslrootcert", ""), cert: take("sslcert", ""), key: take("sslkey", ""),
	}
	if _, err := d.encryption.config(); err != nil {
		return d, err
	}
	if d.network == "unix" { // libpq ignores sslmode there
		d.encryption = postgresEncryption{mode: "disable"}
	}
	return d, checkUnused(params)
}

// checkUnused returns an error for parameters that mean nothing here. It names only those that libpq knows: any other may be a part of
// a password with special characters.
func checkUnused(params map[string]string) error {
	for _, name := range slices.Sorted(maps.Keys(params)) {
		values, known := postgresIgnored[name]
		switch {
		case known && slices.Contains(values, params[name]):
		case known:
			return fmt.Errorf("the PostgreSQL parameter %s is supported with the values %s only", name, strings.Join(values, ", "))
		case slices.Contains([]string{"options", "passfile", "service", "requiressl", "sslpassword", "sslcrl", "keepalives", "replication"}, name):
			return fmt.Errorf("the PostgreSQL parameter %s is not supported", name)
		default:
			return errors.New("a PostgreSQL parameter is unknown (not shown, it may be a part of a password): special characters must be " +
				"percent-encoded in a URL and quoted among keywords")
		}
	}
	return nil
}

// parseURL returns the parameters of postgres://[user[:password]@][host][:port][/database][?name=value[&…]].
func parseURL(text string) (map[string]string, error) {
	_, rest, ok := strings.Cut(text, "://")
	if !ok {
		return nil, errPostgresURL
	}
	authority, tail := rest, ""
	if i := strings.IndexAny(rest, "/?"); i >= 0 {
		authority, tail = rest[:i], rest[i:]
	}
	// An @ behind the authority is the sign of a password with an unencoded / or ?, which would be taken for a database's name.
	if strings.Contains(tail, "@") || strings.Count(authority, "@") > 1 {
		return nil, errPostgresURL
	}
	params := map[string]string{}
	failed := false
	set := func(name, escaped string) {
		value, err := url.PathUnescape(escaped)
		failed = failed || err != nil || strings.ContainsRune(value, 0)
		if value != "" {
			params[name] = value
		}
	}
	userinfo, hostport, hasUser := strings.Cut(authority, "@")
	if !hasUser {
		userinfo, hostport = "", authority
	}
	user, password, _ := strings.Cut(userinfo, ":")
	set("user", user)
	set("password", password)
	host, port := hostport, ""
	if i := strings.LastIndexByte(hostport, ':'); i > strings.LastIndexByte(hostport, ']') {
		host, port = hostport[:i], hostport[i+1:]
	}
	if strings.HasPrefix(host, "[") != strings.HasSuffix(host, "]") || strings.ContainsAny(host, " \t") {
		return nil, errPostgresURL
	}
	set("host", strings.TrimSuffix(strings.TrimPrefix(host, "["), "]"))
	set("port", port)
	path, query, _ := strings.Cut(tail, "?")
	set("dbname", strings.TrimPrefix(path, "/"))
	for item := range strings.SplitSeq(query, "&") {
		name, value, hasValue := strings.Cut(item, "=")
		if item != "" && (!hasValue || name == "") {
			return nil, errPostgresURL
		}
		if item != "" {
			set(name, value)
		}
	}
	if failed {
		return nil, errPostgresURL
	}
	return params, nil
}

// parseKeywords returns the parameters of "name = value name = 'quoted value'", where a backslash escapes a character.
func parseKeywords(text string) (map[string]string, error) {
	params := map[string]string{}
	for rest := strings.TrimSpace(text); rest != ""; {
		name, after, ok := strings.Cut(rest, "=")
		name = strings.TrimSpace(name)
		if !ok || name == "" || strings.ContainsAny(name, " \t\r\n'\\") {
			return nil, errPostgresURL
		}
		value, remaining, err := keywordValue(strings.TrimLeft(after, " \t\r\n"))
		if err != nil {
			return nil, err
		}
		if params[name] = value; value == "" {
			delete(params, name)
		}
		rest = strings.TrimLeft(remaining, " \t\r\n")
	}
	return params, nil
}

// keywordValue reads a value up to a space or, if it begins with a quote, up to the next one.
func keywordValue(text string) (value, rest string, err error) {
	quoted := strings.HasPrefix(text, "'")
	text = strings.TrimPrefix(text, "'")
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '\\' && i+1 < len(text):
			i++
			b.WriteByte(text[i])
		case c == 0 || c == '\\' && quoted:
			return "", "", errPostgresURL
		case quoted && c == '\'':
			return b.String(), text[i+1:], nil
		case !quoted && strings.IndexByte(" \t\r\n", c) >= 0:
			return b.String(), text[i:], nil
		default:
			b.WriteByte(c)
		}
	}
	if quoted {
		return "", "", errPostgresURL
	}
	return b.String(), "", nil
}

// TLSFiles returns the files of TLS that a database URL names: sslrootcert, sslcert and sslkey. They are empty if it is invalid.
func TLSFiles(text string) (rootCert, cert, key string) {
	if !isPostgres(text) {
		return "", "", ""
	}
	d, _ := parsePostgres(text, os.Getenv)
	return d.encryption.rootCert, d.encryption.cert, d.encryption.key
}

func (d postgresDSN) options(encryption *tls.Config) []pgdriver.Option {
	return []pgdriver.Option{
		pgdriver.WithNetwork(d.network), pgdriver.WithAddr(d.addr), pgdriver.WithTLSConfig(encryption),
		pgdriver.WithUser(d.user), pgdriver.WithPassword(d.password), pgdriver.WithDatabase(d.database),
		pgdriver.WithApplicationName(d.appName),
		pgdriver.WithDialTimeout(d.dialTimeout), pgdriver.WithReadTimeout(pgIOTimeout),
		pgdriver.WithWriteTimeout(pgIOTimeout), pgdriver.WithTracing(false), // the runtime's span covers it
	}
}

// CheckURL checks the form of a database URL without connecting. No error contains a part of it that may be a password.
func CheckURL(text string) error {
	if isPostgres(text) {
		_, err := parsePostgres(text, os.Getenv)
		return err
	}
	_, err := sqlitePath(Config{URL: text, Actor: "check", DataDir: "."})
	return err
}
