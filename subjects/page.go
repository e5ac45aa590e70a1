package subjects

// PageRequest is embedded in the request of every paginated list.
type PageRequest struct {
	Limit  int    `json:"limit,omitempty" in:"query" minimum:"1" maximum:"200" doc:"Maximum number of items; default 50."`
	Cursor string `json:"cursor,omitempty" in:"query" maxLength:"1024" doc:"The next_cursor of the previous page; opaque."`
}

// PageLimit returns the requested page size, or the default of 50.
func (p PageRequest) PageLimit() int {
	if p.Limit == 0 {
		return 50
	}
	return p.Limit
}

// Page is the reply of every paginated list.
type Page[T any] struct {
	Items      []T    `json:"items"`
	NextCursor string `json:"next_cursor,omitempty" doc:"Pass it as cursor to get the next page; absent on the last page."`
}
