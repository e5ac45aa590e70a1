package subjects

// PageRequest is embedded in the request of every list.
type PageRequest struct {
	Limit  int    `json:"limit,omitempty" in:"query" minimum:"1" maximum:"200" doc:"How many items at the most; 50 unless given."`
	Cursor string `json:"cursor,omitempty" in:"query" maxLength:"1024" doc:"Where the previous page ended; opaque."`
}

// PageLimit is the asked-for page size, or the default of 50.
func (p PageRequest) PageLimit() int {
	if p.Limit == 0 {
		return 50
	}
	return p.Limit
}

// Page is the reply of every list.
type Page[T any] struct {
	Items      []T    `json:"items"`
	NextCursor string `json:"next_cursor,omitempty" doc:"Give it as cursor to get what follows; absent at the end."`
}
