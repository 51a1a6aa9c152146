package stripe

import (
	"slices"
	"strconv"
	"time"
)

// pageParams are common to all lists.
var pageParams = []string{
	"limit", "starting_after", "ending_before", "created", "created[gt]", "created[gte]", "created[lt]", "created[lte]",
}

const (
	pageDefault = 10
	pageMax     = 100
)

// list is the envelope of every list, newest object first.
type list struct {
	Object  string   `json:"object"`
	Data    []object `json:"data"`
	HasMore bool     `json:"has_more"`
	URL     string   `json:"url"`
}

// get serves one object by the id in the path.
func get[T object](s *Server, r *request, name, param string) (any, *apiError) {
	id := r.http.PathValue("id")
	s.mu.Lock()
	defer s.mu.Unlock()
	obj, ok := find[T](s.store, r.account, id)
	if !ok {
		return nil, missing(name, id, param)
	}
	return s.verbatim(r, obj), nil
}

// verbatim returns an object as it was loaded through the control API, if it was and nothing has to be expanded.
// The mutex is held.
func (s *Server) verbatim(r *request, obj object) any {
	if e := s.store.entries[obj.objectID()]; e.verbatim != nil && len(r.params.list("expand")) == 0 {
		return e.verbatim
	}
	return s.present(obj)
}

// present returns an object as it reads now.
func (s *Server) present(obj object) object {
	if t, ok := obj.(*BalanceTransaction); ok {
		return t.at(s.clock.Now())
	}
	return obj
}

// page serves one page of all objects of a kind.
func page[T object](s *Server, r *request, kind string, match func(T) bool) (any, *apiError) {
	return pageOf(s, r, kind, "", match)
}

// pageOf serves one page of the objects of a kind that match; with a parent, of its children only.
func pageOf[T object](s *Server, r *request, kind, parent string, match func(T) bool) (any, *apiError) {
	p := r.params
	limit := pageDefault
	if n := p.optionalInteger("limit"); n != nil {
		if *n < 1 || *n > pageMax {
			p.fail(invalid("limit", "parameter_invalid_integer", "Invalid limit: must be between 1 and %d.", pageMax))
		}
		limit = int(min(*n, pageMax))
	}
	inTime := p.createdFilter()
	after, before := p.text("starting_after"), p.text("ending_before")
	if after != "" && before != "" {
		p.fail(invalid("", "", "You may only specify one of these parameters: starting_after, ending_before."))
	}
	if p.err != nil {
		return nil, p.err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	entries := s.store.lists[listKey(r.account, kind)]
	if parent != "" {
		entries = s.store.childEntries(r.account, parent, kind)
	}
	// older is where listing towards older objects begins, newer where listing towards newer ones begins.
	older, newer := len(entries)-1, len(entries)
	if cursor := after + before; cursor != "" {
		e := s.store.entries[cursor]
		if e == nil || e.account != r.account || e.obj.kind() != kind {
			param := "starting_after"
			if before != "" {
				param = "ending_before"
			}
			return nil, missing(kind, cursor, param)
		}
		at, _ := slices.BinarySearchFunc(entries, e.born, func(e *entry, born int64) int { return int(e.born - born) })
		older, newer = at-1, at
		if at < len(entries) && entries[at] == e {
			newer++
		}
	}
	listed := s.clock.Now().Add(-time.Duration(s.settings.ListLagMS) * time.Millisecond)
	out := &list{Object: "list", Data: []object{}, URL: r.http.URL.Path}
	take := func(e *entry) bool { // false when the page is full
		obj, ok := e.obj.(T)
		if !ok || e.made.After(listed) || !inTime(e.obj.createdAt()) || !match(obj) {
			return true
		}
		if len(out.Data) == limit {
			out.HasMore = true
			return false
		}
		out.Data = append(out.Data, s.present(obj))
		return true
	}
	if before != "" {
		for i := newer; i < len(entries) && take(entries[i]); i++ {
		}
		slices.Reverse(out.Data)
		return out, nil
	}
	for i := older; i >= 0 && take(entries[i]); i-- {
	}
	return out, nil
}

func (st *store) childEntries(account, parent, kind string) []*entry {
	var entries []*entry
	for _, id := range st.children[childKey(parent, kind)] {
		if e := st.entries[id]; e.account == account {
			entries = append(entries, e)
		}
	}
	return entries
}

// createdFilter reads created=N or created[gt|gte|lt|lte]=N, in Unix seconds.
func (p *params) createdFilter() func(int64) bool {
	var tests []func(int64) bool
	for name, compare := range map[string]func(a, b int64) bool{
		"created":      func(a, b int64) bool { return a == b },
		"created[gt]":  func(a, b int64) bool { return a > b },
		"created[gte]": func(a, b int64) bool { return a >= b },
		"created[lt]":  func(a, b int64) bool { return a < b },
		"created[lte]": func(a, b int64) bool { return a <= b },
	} {
		if !p.has(name) {
			continue
		}
		bound, err := strconv.ParseInt(p.text(name), 10, 64)
		if err != nil {
			p.fail(invalid(name, "parameter_invalid_integer", "Invalid integer: %s", p.text(name)))
		}
		tests = append(tests, func(created int64) bool { return compare(created, bound) })
	}
	return func(created int64) bool {
		for _, test := range tests {
			if !test(created) {
				return false
			}
		}
		return true
	}
}
