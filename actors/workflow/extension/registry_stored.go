package extension

import (
	"context"
	"encoding/json"
	"fmt"

	"go.uber.org/zap"

	"github.com/weftmesh/weft/subjects"
)

// load reads what is stored, so that the functions of extensions that are down are known after a restart.
func (r *Registry) load(ctx context.Context) error {
	stored, err := r.Load(ctx)
	if err != nil {
		return fmt.Errorf("reading the stored extensions: %w", err)
	}
	states := map[string]*State{}
	for _, one := range stored {
		var list []declaration
		if err := json.Unmarshal(one.Declarations, &list); err != nil {
			return fmt.Errorf("decoding the functions of the extension %s: %w", one.Name, err)
		}
		functions, err := r.read(ctx, one.Name, list)
		if err != nil {
			return err
		}
		states[one.Name] = &State{
			Name: one.Name, Versions: one.Versions, Functions: functions, Fault: one.Fault, SeenAt: one.SeenAt,
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.loaded {
		r.loaded = true
		for name, state := range states {
			if r.states[name] == nil {
				r.states[name] = state
			}
		}
	}
	return nil
}

// note has Run store a state if it has changed, or was stored long ago. A caller that asks may be in a transaction.
func (r *Registry) note(state *State, list []declaration) error {
	data, err := subjects.Encode(list)
	if err != nil {
		return fmt.Errorf("encoding the functions of the extension %s: %w", state.Name, err)
	}
	text := fmt.Sprint(state.Versions, state.Copies, state.Fault, string(data))
	r.mu.Lock()
	defer r.mu.Unlock()
	if saved := r.saved[state.Name]; saved.text == text && state.SeenAt.Sub(saved.at) < saveEvery {
		return nil
	}
	r.saved[state.Name] = savedState{text, state.SeenAt}
	r.unsaved[state.Name] = Stored{
		Name: state.Name, Versions: state.Versions, Copies: state.Copies, Fault: state.Fault, Declarations: data, SeenAt: state.SeenAt,
	}
	r.wake.Notify()
	return nil
}

// save stores what note has collected.
func (r *Registry) save(ctx context.Context) {
	r.mu.Lock()
	unsaved := r.unsaved
	r.unsaved = map[string]Stored{}
	r.mu.Unlock()
	for _, stored := range unsaved {
		if err := r.Save(ctx, stored); err != nil && ctx.Err() == nil {
			r.Log.Warn("storing what is known of an extension failed", zap.String("extension", stored.Name), zap.Error(err))
			r.mu.Lock()
			delete(r.saved, stored.Name) // the next answer is stored
			r.mu.Unlock()
		}
	}
}
