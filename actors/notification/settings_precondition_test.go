package notification_test

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/weftmesh/weft/actors/actortest"
	"github.com/weftmesh/weft/mesh"
	"github.com/weftmesh/weft/subjects"
)

// TestSettingsPrecondition: of 50 concurrent changes with the same If-Match one succeeds, from the defaults (version 0) on.
func TestSettingsPrecondition(t *testing.T) {
	t.Parallel()
	for _, database := range actortest.Databases(t) {
		t.Run(database.Name, func(t *testing.T) {
			t.Parallel()
			f := setup(t, database, nil)
			ada := f.user(t, actortest.User())
			for version := range int64(3) {
				var won atomic.Int64
				var writers sync.WaitGroup
				for range 50 {
					writers.Go(func() {
						r := subjects.UpdateNotificationSettingsRequest{Precondition: subjects.Precondition{IfMatch: fmt.Sprintf(`"%d"`, version)}}
						changed, err := mesh.Call(t.Context(), f.conn, subjects.UpdateNotificationSettings, r, ada)
						switch {
						case err == nil && *changed.Version == version+1:
							won.Add(1)
						case subjects.CodeOf(err) != subjects.CodePreconditionFailed:
							t.Errorf("version %d: %+v, %v", version, changed, err)
						}
					})
				}
				writers.Wait()
				if now := call(t, f, subjects.GetNotificationSettings, ada, subjects.Empty{}); won.Load() != 1 || *now.Version != version+1 {
					t.Errorf("version %d: %d of 50 writers succeeded, and the version is %d", version, won.Load(), *now.Version)
				}
			}
			f.settings(t, ada, subjects.NotificationSettings{}) // without a precondition
			if now := call(t, f, subjects.GetNotificationSettings, ada, subjects.Empty{}); *now.Version != 4 {
				t.Errorf("the version is %d", *now.Version)
			}
		})
	}
}
