package machine

import "slices"

// Arrival is an event that was consumed: Taken are the runs that consumed it, Before the id of the next run at that
// time. Runs from Before on started after the event and never consume it.
type Arrival struct {
	ID     string `json:"id"`
	Before int    `json:"before"`
	Taken  []int  `json:"taken"`
}

// maxArrivals bounds the remembered events; the newest are kept.
const maxArrivals = 512

// eventIdentity identifies an event by its source and id; it is empty for an event without id.
func eventIdentity(event map[string]any) string {
	id, _ := event["id"].(string)
	source, _ := event["source"].(string)
	if id == "" {
		return ""
	}
	return source + " " + id
}

// taken reports whether a run has consumed an event or started after it arrived.
func (s *State) taken(id string, run int) bool {
	for i := range s.Arrivals {
		if arrival := &s.Arrivals[i]; arrival.ID == id {
			return id != "" && (run >= arrival.Before || slices.Contains(arrival.Taken, run))
		}
	}
	return false
}

// recordArrival records that a run consumed an event.
func (s *State) recordArrival(id string, run int) {
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
