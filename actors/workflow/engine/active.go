package engine

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/weftmesh/weft/actors/database"
	"github.com/weftmesh/weft/subjects"
)

// activeUsers bounds the executions of a user that have not ended. They are counted in SQL, at most each time that half of what was left
// has been started: far from the bound, a start reads nothing, and near it each one counts.
type activeUsers struct {
	max   int
	count func(ctx context.Context, userID string) (int, error)
	now   func() time.Time

	mu    sync.Mutex
	users map[string]*activeUser
}

// activeUser is what was counted of a user, and the starts in this process since.
type activeUser struct {
	stored, since int
	at            time.Time
}

const (
	// activeLifetime is how long a count is kept, maxActiveUsers how many are.
	activeLifetime = time.Minute
	maxActiveUsers = 10_000
)

// admit counts a start of a user's; it is refused where the user has as many executions as one may have.
func (a *activeUsers) admit(ctx context.Context, userID string) error {
	if a.take(userID) {
		return nil
	}
	count, err := a.count(ctx, userID)
	if err != nil {
		return database.Classify(err)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.users[userID] = &activeUser{stored: count, at: a.now()}
	if count >= a.max {
		return a.refusal()
	}
	a.users[userID].since++
	return nil
}

// take counts a start without a look at SQL, where that suffices.
func (a *activeUsers) take(userID string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.users == nil || len(a.users) >= maxActiveUsers {
		a.users = map[string]*activeUser{}
	}
	user := a.users[userID]
	if user == nil || a.now().Sub(user.at) > activeLifetime && user.stored+user.since < a.max {
		user = &activeUser{at: a.now()}
		a.users[userID] = user
	}
	if user.since >= (a.max-user.stored)/2 {
		return false
	}
	user.since++
	return true
}

func (a *activeUsers) refusal() error {
	return &subjects.Error{
		Code: subjects.CodeRateLimited, Reason: subjects.ReasonUserQueueFull, RetryAfter: subjects.RetrySoon,
		Detail: fmt.Sprintf("at most %d of your executions may be running or waiting (workflow.max_active_per_user)", a.max),
	}
}
