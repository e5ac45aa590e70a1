package dispatch

import "time"

// wanted returns queues of which deliveries are to be loaded, at most n, and marks them as being loaded.
func (s *scheduler) wanted(n int, now time.Time) (list []*queue) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopped || s.blocked {
		return nil
	}
	for q := range s.wanting {
		if len(list) == n || s.loaded >= maxLoaded {
			break
		}
		if q.more && !q.loading && q.low() && !now.Before(q.pausedUntil) {
			q.loading, q.again, q.stale = true, false, nil
			q.loads++
			list = append(list, q)
		}
		delete(s.wanting, q) // pick, offerAll or the end of the load adds it again
	}
	return list
}

// loadedRows adds what was loaded of a queue. full means that there may be more after it.
func (s *scheduler) loadedRows(q *queue, rows []deliveryRow, full bool, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var last deliveryRow
	for _, row := range rows {
		_, stale := q.stale[row.ID]
		if _, ok := q.have[row.ID]; ok || stale || row.NextAttemptAt > now.UnixMicro() || row.Status != StatusPending {
			last = row
			continue
		}
		if len(q.ready) >= q.rows() {
			full = true
			break
		}
		last = row
		if q.userID == "" { // its first: one that has failed before says that the endpoint may be failing
			q.userID, q.failing = row.UserID, row.Attempts > row.Base
		}
		s.append(q, row)
	}
	if full && last.ID != "" {
		q.afterDue, q.afterID = last.NextAttemptAt, last.ID
	} else {
		q.afterDue, q.afterID = 0, ""
	}
	if q.more = full || q.again; q.more {
		s.want(q)
	}
	q.loading, q.again, q.usedAt = false, false, time.Now()
	s.offer(q, now)
}

// loadFailed has the queue loaded again.
func (s *scheduler) loadFailed(list ...*queue) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, q := range list {
		q.loading = false
		s.want(q)
	}
}

// place is where the load of a queue continues.
type place struct {
	due due
	key string
}

// place returns where a load continues. Rows that are loaded already may be read again, and count for the limit. A change of ordered
// begins anew.
func (s *scheduler) place(q *queue, ordered bool) place {
	s.mu.Lock()
	defer s.mu.Unlock()
	if q.ordered != ordered {
		s.unloadLocked(q)
		q.ordered = ordered
	}
	p := place{due: due{endpointID: q.id, afterDue: q.afterDue, afterID: q.afterID, limit: q.rows() + len(q.have)}, key: q.afterKey}
	if ordered {
		p.due.afterDue, p.due.afterID, p.due.unkeyed = 0, "", true
	}
	return p
}

// continueAt sets the ordering key after which the next load continues.
func (s *scheduler) continueAt(q *queue, key string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	q.afterKey = key
}

// setKeptChecked notes whether all kept deliveries of queues were resumed.
func (s *scheduler) setKeptChecked(checked bool, list ...*queue) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, q := range list {
		q.keptChecked = checked
	}
}

// keptUnchecked returns queues of which kept deliveries may have to be resumed.
func (s *scheduler) keptUnchecked(queues map[string]*queue) (ids []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, q := range queues {
		if !q.keptChecked {
			ids = append(ids, id)
		}
	}
	return ids
}

// pause ends a load and makes no attempts of a queue until a moment.
func (s *scheduler) pause(q *queue, until time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	q.loading, q.pausedUntil = false, until
}

// offering says for an endpoint how often it had been loaded before deliveries were committed; queue is nil if it could not take them.
type offering struct {
	queue *queue
	loads int
}

// offerings returns which endpoints can take deliveries by handOver. Call it before the commit.
func (s *scheduler) offerings(rows []deliveryRow) []offering {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := make([]offering, len(rows))
	for i, row := range rows {
		if q := s.queues[row.EndpointID]; q != nil && s.takes(q, row) {
			list[i] = offering{q, q.loads}
		}
	}
	return list
}

// takes reports whether all that is due of a queue is loaded, so that it can take another delivery from memory.
func (s *scheduler) takes(q *queue, row deliveryRow) bool {
	return q.keptChecked && !q.ordered && !q.more && !q.loading && q.userID == row.UserID && len(q.ready) < q.rows() && s.loaded < maxLoaded &&
		(!s.leased || time.Until(q.leasedUntil) > s.margin)
}

// handOver takes deliveries that were committed just now, so that they need not be loaded. It does so for endpoints of which nothing was
// loaded since offerings was called, before the commit: a load may have read them already. The others are loaded later.
func (s *scheduler) handOver(rows []deliveryRow, before []offering, now time.Time) {
	var others []string
	s.mu.Lock()
	for i, row := range rows {
		q := s.queues[row.EndpointID]
		if q == nil || q != before[i].queue || q.loads != before[i].loads || !s.takes(q, row) {
			others = append(others, row.EndpointID)
			continue
		}
		s.append(q, row)
		s.offer(q, now)
	}
	s.mu.Unlock()
	s.wake(others...)
}
