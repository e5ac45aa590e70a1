package embedded

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/nats-io/nkeys"

	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

// enrolledFile lists the enrolled users with their public keys. It holds no secret.
const enrolledFile = "enrolled.json"

// Errors of Enroll and Revoke.
var (
	// ErrEnrolled is returned for a name that is enrolled already.
	ErrEnrolled = errors.New("is already enrolled")
	// ErrNotEnrolled is returned for a name that is not enrolled.
	ErrNotEnrolled = errors.New("is not enrolled")
)

// LoadEnrolled reads the enrolled users of a server's folder; nil if it has no file of them.
func LoadEnrolled(dir string) ([]mesh.Enrolled, error) {
	data, err := os.ReadFile(filepath.Join(dir, enrolledFile))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("reading the enrolled users: %w", err)
	}
	return mesh.ParseEnrolled(data)
}

// Enroll adds a NATS user with a new key to a server's folder and returns it with the key's seed, which is stored nowhere else. A server that
// Start runs from the folder admits the user within seconds; another one after it has reloaded its configuration. The error is ErrEnrolled if
// the name is taken.
func Enroll(dir string, user mesh.Enrolled, now time.Time) (_ mesh.Enrolled, seed []byte, err error) {
	pair, err := nkeys.CreateUser()
	if err != nil {
		return user, nil, fmt.Errorf("creating a key: %w", err)
	}
	public, err := pair.PublicKey()
	if err == nil {
		seed, err = pair.Seed()
	}
	if err != nil {
		return user, nil, fmt.Errorf("creating a key: %w", err)
	}
	user.Key, user.At = public, now.UTC().Truncate(time.Second)
	if err := user.Check(); err != nil {
		return user, nil, err
	}
	err = changeEnrolled(dir, func(list []mesh.Enrolled) ([]mesh.Enrolled, error) {
		if len(list) >= mesh.MaxEnrolled {
			return nil, fmt.Errorf("%d extensions and edge nodes are enrolled, which is the most", len(list))
		}
		if slices.ContainsFunc(list, same(user.Kind, user.Name)) {
			return nil, fmt.Errorf("the %s %s %w", user.Kind, user.Name, ErrEnrolled)
		}
		return append(list, user), nil
	})
	if err != nil {
		return user, nil, err
	}
	return user, seed, nil
}

// SetEdge replaces what an edge node is enrolled for. The error is ErrNotEnrolled if there is no such node.
func SetEdge(dir, name string, enrolment subjects.Enrolment) error {
	return changeEnrolled(dir, func(list []mesh.Enrolled) ([]mesh.Enrolled, error) {
		i := slices.IndexFunc(list, same(subjects.KindEdge, name))
		if i < 0 {
			return nil, fmt.Errorf("the %s %s %w", subjects.KindEdge, name, ErrNotEnrolled)
		}
		list[i].Edge = &enrolment
		return list, list[i].Check()
	})
}

// Admit adds users to a server's folder that are enrolled at another server of the same cluster, and removes all others.
func Admit(dir string, users []mesh.Enrolled) error {
	return changeEnrolled(dir, func([]mesh.Enrolled) ([]mesh.Enrolled, error) { return users, nil })
}

// Revoke removes an enrolled user from a server's folder, as Enroll adds one: the server disconnects the user. The error is ErrNotEnrolled
// if there is no such user.
func Revoke(dir, kind, name string) error {
	return changeEnrolled(dir, func(list []mesh.Enrolled) ([]mesh.Enrolled, error) {
		if !slices.ContainsFunc(list, same(kind, name)) {
			return nil, fmt.Errorf("the %s %s %w", kind, name, ErrNotEnrolled)
		}
		return slices.DeleteFunc(list, same(kind, name)), nil
	})
}

func same(kind, name string) func(mesh.Enrolled) bool {
	return func(e mesh.Enrolled) bool { return e.Kind == kind && e.Name == name }
}

// changeEnrolled changes the enrolled users of a server's folder and writes its nats.conf again. Only one process does so at a time.
func changeEnrolled(dir string, change func([]mesh.Enrolled) ([]mesh.Enrolled, error)) (err error) {
	if _, err := os.Stat(filepath.Join(dir, confFile)); err != nil {
		return fmt.Errorf("%s is not the folder of a NATS server of weft: %w", dir, err)
	}
	lock, err := lockFile(filepath.Join(dir, enrolledFile+".lock"))
	if err != nil {
		return fmt.Errorf("locking %s: %w", enrolledFile, err)
	}
	defer func() { err = errors.Join(err, lock.Close()) }()
	list, err := LoadEnrolled(dir)
	if err != nil {
		return err
	}
	if list, err = change(list); err != nil {
		return err
	}
	data, err := mesh.EncodeEnrolled(list)
	if err == nil {
		err = write(filepath.Join(dir, enrolledFile), data, 0o644)
	}
	if err != nil {
		return fmt.Errorf("writing %s: %w", enrolledFile, err)
	}
	return writeConf(dir)
}

// writeConf writes nats.conf for weft's own users and the enrolled ones.
func writeConf(dir string) error {
	list, err := LoadEnrolled(dir)
	if err != nil {
		return err
	}
	path, conf := filepath.Join(dir, confFile), []byte(mesh.RenderConf(list...))
	// A server reloads a file that is replaced, and then drops the answers of requests under way.
	if present, err := os.ReadFile(path); err == nil && bytes.Equal(present, conf) {
		return nil
	}
	if err := write(path, conf, 0o644); err != nil {
		return fmt.Errorf("writing %s: %w", confFile, err)
	}
	return nil
}
