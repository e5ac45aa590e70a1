package machine

import "slices"

// Arrival is an event that was consumed: by which runs, and which run was the next to be started when it came first.
// Runs from there on began after the event and never take it.
type Arrival struct {
	ID     string `json:"id"`
	Before int    `json:"before"`
	Taken  []int  `json:"taken"`
}

// maxArrivals bounds the events that are remembered, the newest ones.
const maxArrivals = 512

// identity is what tells an event from any other; empty for one without id.
func identity(event map[string]any) string {
	id, _ := event["id"].(string)
	source, _ := event["source"].(string)
	if id == "" {
		return ""
	}
	return source + " " + id
}

// arrivedFor tells whether a run has an event already, or began after it came.
func (s *State) arrivedFor(id string, run int) bool {
	for i := range s.Arrivals {
		if arrival := &s.Arrivals[i]; arrival.ID == id {
			return id != "" && (run >= arrival.Before || slices.Contains(arrival.Taken, run))
		}
	}
	return false
}

func (s *State) noteArrival(id string, run int) {
	if id == "" {
		return
	}
	for i := range s.Arrivals {
		if arrival := &s.Arrivals[i]; arrival.ID == id {
			arrival.Taken = append(arrival.Taken, run)
			return
		}
	}
	if len(s.Arrivals) >= maxArrivals {
		s.Arrivals = slices.Delete(s.Arrivals, 0, 1)
	}
	s.Arrivals = append(s.Arrivals, Arrival{ID: id, Before: s.NextRun, Taken: []int{run}})
}
