package stripe

import (
	"encoding/json"
	"strings"
)

// expandDepthMax is Stripe's limit on the levels of one expansion.
const expandDepthMax = 4

// expand replaces the references that expand[] names by the objects themselves, in copies. The paths are dotted; those of
// a list begin with "data.".
func (s *Server) expand(r *request, result any) (any, *apiError) {
	paths := r.params.list("expand")
	if len(paths) == 0 {
		return result, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, path := range paths {
		names := strings.Split(path, ".")
		if len(names) > expandDepthMax {
			return nil, invalid("expand", "", "You can only expand up to %d levels of properties (%s).", expandDepthMax, path)
		}
	}
	tree := expandTree(paths)
	switch v := result.(type) {
	case *list:
		return s.expandList(r, v, tree)
	case object:
		return s.expandObject(r, v, tree, "")
	case json.RawMessage:
		return v, nil
	}
	return result, nil
}

// branches are the expansions below one field.
type branches map[string]branches

func expandTree(paths []string) branches {
	root := branches{}
	for _, path := range paths {
		at := root
		for name := range strings.SplitSeq(path, ".") {
			if at[name] == nil {
				at[name] = branches{}
			}
			at = at[name]
		}
	}
	return root
}

func (s *Server) expandList(r *request, l *list, tree branches) (any, *apiError) {
	for name := range tree {
		if name != "data" {
			return nil, notExpandable(name)
		}
	}
	out := *l
	out.Data = make([]object, len(l.Data))
	for i, obj := range l.Data {
		expanded, e := s.expandObject(r, obj, tree["data"], "data.")
		if e != nil {
			return nil, e
		}
		out.Data[i] = expanded
	}
	return &out, nil
}

func (s *Server) expandObject(r *request, obj object, tree branches, path string) (object, *apiError) {
	if len(tree) == 0 {
		return obj, nil
	}
	out := obj.clone()
	for name, below := range tree {
		field := out.expandable(name)
		if field == nil {
			return nil, notExpandable(path + name)
		}
		e := s.store.entries[field.id]
		if field.id == "" || e == nil || !visible(e, r.account) {
			continue // null stays null
		}
		expanded, refusal := s.expandObject(r, s.present(e.obj), below, path+name+".")
		if refusal != nil {
			return nil, refusal
		}
		field.expanded = expanded
	}
	return out, nil
}

// visible says whether an account may see an object by reference: its own, and what the platform shares.
func visible(e *entry, account string) bool {
	return e.account == account || e.account == "" || account == ""
}

func notExpandable(path string) *apiError {
	return invalid("expand", "", "This property cannot be expanded (%s).", path)
}
