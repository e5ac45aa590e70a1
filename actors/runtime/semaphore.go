package runtime

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/weftmesh/weft/subjects"
)

const (
	// queueFactor is the number of requests that may wait for each one that an endpoint handles concurrently.
	queueFactor = 8
	// userShare is the part of the places of an endpoint, as a divisor, that one user's requests may take: of those that are handled,
	// and of those that wait.
	userShare = 2
)

// boundedSemaphore limits the requests of one endpoint: how many are handled concurrently, and how many wait. A user has a share of
// both, so that requests of one user that take long leave places for the others. Of the requests that wait, one of the user with the
// fewest handled ones is next.
type boundedSemaphore struct {
	name     string       // of the endpoint
	admitted atomic.Int64 // handled and waiting
	limit    int64
	// share is how many requests of a user are handled concurrently, userLimit how many are handled or wait.
	share, userLimit int

	mu    sync.Mutex
	free  int
	users map[string]userPlaces
	// waiting are in the order of their arrival.
	waiting []*placeRequest
}

// userPlaces are the requests of a user. The empty user stands for callers without one, who have no share.
type userPlaces struct{ handled, waiting int }

// placeRequest is a request that waits; granted is closed when it may be handled.
type placeRequest struct {
	user    string
	granted chan struct{}
}

func newBoundedSemaphore(name string, concurrency int) *boundedSemaphore {
	share := max(1, concurrency/userShare)
	return &boundedSemaphore{
		name: name, limit: int64(concurrency) * (1 + queueFactor), share: share, userLimit: share * (1 + queueFactor), free: concurrency,
		users: map[string]userPlaces{},
	}
}

// admit takes a place among the requests that wait. It returns false if there is none. leave must follow true.
func (s *boundedSemaphore) admit() bool {
	if s.admitted.Add(1) > s.limit {
		s.admitted.Add(-1)
		return false
	}
	return true
}

func (s *boundedSemaphore) leave() { s.admitted.Add(-1) }

// acquire waits until an admitted request of a user may be handled, or until ctx ends, which is CodeUnavailable. It is CodeRateLimited
// if as many of the user's requests are handled or wait as may. release must follow nil.
func (s *boundedSemaphore) acquire(ctx context.Context, user string) error {
	s.mu.Lock()
	places := s.users[user]
	if s.free > 0 && s.mayHandle(user) {
		s.take(user)
		s.mu.Unlock()
		return nil
	}
	if user != "" && places.handled+places.waiting >= s.userLimit {
		s.mu.Unlock()
		return &subjects.Error{
			Code: subjects.CodeRateLimited, Reason: subjects.ReasonLimitReached, RetryAfter: subjects.RetrySoon,
			Detail: fmt.Sprintf("too many requests of a user at once to %s: a process handles at most %d, and %d wait", s.name, s.share, s.share*queueFactor),
		}
	}
	r := &placeRequest{user: user, granted: make(chan struct{})}
	s.waiting = append(s.waiting, r)
	places.waiting++
	s.users[user] = places
	s.mu.Unlock()
	select {
	case <-r.granted:
		return nil
	case <-ctx.Done():
	}
	if !s.withdraw(r) {
		return nil // it was granted meanwhile
	}
	return &subjects.Error{
		Code: subjects.CodeUnavailable, Reason: subjects.ReasonOverloaded, Detail: "overloaded", RetryAfter: subjects.RetrySoon, Cause: ctx.Err(),
	}
}

// release returns the place of a user's request.
func (s *boundedSemaphore) release(user string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	places := s.users[user]
	places.handled--
	s.put(user, places)
	s.free++
	s.grant()
}

// mayHandle reports whether one more request of a user may be handled, if there is a place.
func (s *boundedSemaphore) mayHandle(user string) bool {
	return user == "" || s.users[user].handled < s.share
}

// take takes a free place for a user's request.
func (s *boundedSemaphore) take(user string) {
	s.free--
	places := s.users[user]
	places.handled++
	s.users[user] = places
}

// put sets what a user has.
func (s *boundedSemaphore) put(user string, places userPlaces) {
	if places == (userPlaces{}) {
		delete(s.users, user)
		return
	}
	s.users[user] = places
}

// grant gives free places to requests that wait.
func (s *boundedSemaphore) grant() {
	for s.free > 0 {
		next := -1
		for i, r := range s.waiting {
			if s.mayHandle(r.user) && (next < 0 || s.users[r.user].handled < s.users[s.waiting[next].user].handled) {
				next = i
			}
		}
		if next < 0 {
			return
		}
		r := s.waiting[next]
		s.drop(next)
		s.take(r.user)
		close(r.granted)
	}
}

// drop removes a request from those that wait.
func (s *boundedSemaphore) drop(i int) {
	user := s.waiting[i].user
	s.waiting = slices.Delete(s.waiting, i, i+1)
	places := s.users[user]
	places.waiting--
	s.put(user, places)
}

// withdraw removes a request that does not wait any longer; false if it was granted.
func (s *boundedSemaphore) withdraw(r *placeRequest) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := slices.Index(s.waiting, r)
	if i < 0 {
		return false
	}
	s.drop(i)
	return true
}
