package runtime

import (
	"fmt"
	"testing"
	"testing/synctest"
)

// laneTest is a lane whose deliveries run until they are released.
type laneTest struct {
	*lane
	started chan string
	release map[string]chan struct{}
}

func newLaneTest(limit int, users ...string) *laneTest {
	l := &laneTest{started: make(chan string, 100), release: map[string]chan struct{}{}}
	for _, user := range users {
		l.release[user] = make(chan struct{})
	}
	l.lane = newLane(limit, func(d *delivery) {
		l.started <- d.userID
		<-l.release[d.userID]
	})
	return l
}

// ran returns how many deliveries of each user have started since.
func (l *laneTest) ran() string {
	synctest.Wait()
	count := map[string]int{}
	for len(l.started) > 0 {
		count[<-l.started]++
	}
	return fmt.Sprint(count)
}

func (l *laneTest) offerAll(userID string, count int) (taken int) {
	for range count {
		if l.offer(&delivery{userID: userID}, false) {
			taken++
		}
	}
	return taken
}

func TestLaneLeavesPlacesToOtherUsers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLaneTest(12, "ada", "bob", "eve", "")
		for user, want := range map[string]string{"ada": "map[ada:6]"} {
			if taken := l.offerAll(user, 20); taken != 12 { // 6 run, 6 wait
				t.Errorf("%d of %s were taken", taken, user)
			}
			if got := l.ran(); got != want {
				t.Errorf("started %s, want %s", got, want)
			}
		}
		l.offerAll("bob", 4)
		if got := l.ran(); got != "map[bob:4]" {
			t.Errorf("started %s", got)
		}
		l.offerAll("eve", 2)
		if got := l.ran(); got != "map[eve:2]" {
			t.Errorf("started %s", got)
		}
		l.release["bob"] <- struct{}{} // no user has more than a share
		if got := l.ran(); got != "map[]" {
			t.Errorf("started %s", got)
		}
		close(l.release["bob"])
		close(l.release["eve"])
		synctest.Wait()
		l.release["ada"] <- struct{}{}
		if got := l.ran(); got != "map[ada:1]" {
			t.Errorf("started %s", got)
		}
		if waiting := l.close(); len(waiting) != 5 || l.offer(&delivery{userID: "bob"}, true) {
			t.Errorf("%d waited when the lane was closed", len(waiting))
		}
		close(l.release["ada"])
	})
}

func TestLaneServesWaitingUsersInTurn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLaneTest(1, "ada", "bob")
		for _, user := range []string{"ada", "ada", "ada", "bob"} {
			l.offer(&delivery{userID: user}, true)
		}
		var order []string
		for range 4 {
			synctest.Wait()
			user := <-l.started
			order = append(order, user)
			l.release[user] <- struct{}{}
		}
		if got := fmt.Sprint(order); got != "[ada ada bob ada]" {
			t.Errorf("served %s", got)
		}
	})
}

// Deliveries that name no user take every place.
func TestLaneGivesEveryPlaceToWhatNamesNoUser(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLaneTest(4, "")
		l.offerAll("", 4)
		if got := l.ran(); got != "map[:4]" {
			t.Errorf("started %s", got)
		}
		close(l.release[""])
	})
}
