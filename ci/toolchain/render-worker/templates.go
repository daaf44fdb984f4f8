package main

import (
	"errors"
	"path"
	"slices"
	"strings"
	"sync"
	"text/template"
)

// To parse a chart's templates costs Helm more than all else that is left, so each set of them is parsed once and cloned
// for each render. Helm gets a stub in place of each template, which calls the printer of this render with the context
// that Helm gives it: what the template prints there, the stub prints. Names, order, contexts and all that follows are
// Helm's own, and so are the functions. Where anything goes wrong the render is done once more without stubs, since a
// message names the places and templates that Helm was in.

const (
	stubbed = "{{ call (index .Values `" + printKey + "`) . }}"
	// printKey is where a stub finds the printer; a chart that has such a key of its own gets no stubs.
	printKey = "render-worker: printer"
)

// errStubbed is shown to nobody.
var errStubbed = errors.New("a render with stubs failed")

// sets keeps what one engine has parsed. functions binds Helm's functions to a set, where include and tpl look.
type sets struct {
	functions func(*template.Template)
	mutex     sync.Mutex
	parsed    map[string]*template.Template // by names and texts; nil for what only Helm can judge
}

// Mutants of templates come by the thousand, each for a few renders.
const mostSets = 20

// clone gives a set for one render of these templates, by their full names; nil if there can be none.
func (s *sets) clone(templates []file) *template.Template {
	var key strings.Builder
	key.Grow(1 << 18)
	for _, each := range templates {
		key.WriteString(each.name)
		key.WriteByte(0)
		key.Write(each.data)
		key.WriteByte(0)
	}
	s.mutex.Lock()
	set, known := s.parsed[key.String()]
	s.mutex.Unlock()
	if !known {
		set = s.parse(templates)
		s.mutex.Lock()
		if s.parsed == nil || len(s.parsed) >= mostSets {
			s.parsed = map[string]*template.Template{}
		}
		s.parsed[key.String()] = set
		s.mutex.Unlock()
	}
	if set == nil {
		return nil
	}
	cloned, err := set.Clone()
	if err != nil {
		return nil
	}
	cloned.Option("missingkey=zero")
	s.functions(cloned)
	return cloned
}

// parse does as Helm's engines do, in their order: of definitions with one name, the last one counts.
func (s *sets) parse(templates []file) *template.Template {
	set := template.New("gotpl").Option("missingkey=zero")
	s.functions(set)
	for _, each := range slices.SortedFunc(slices.Values(templates), deepestFirst) {
		if _, err := set.New(each.name).Parse(string(each.data)); err != nil {
			return nil
		}
	}
	return set
}

func deepestFirst(a, b file) int {
	if depth := strings.Count(b.name, "/") - strings.Count(a.name, "/"); depth != 0 {
		return depth
	}
	return strings.Compare(b.name, a.name)
}

// printer is what the stubs of one render call. Table is the engine's type of values and contexts.
func printer[Table ~map[string]any](set *template.Template) any {
	var print func(any) (string, error)
	print = func(context any) (string, error) {
		root, _ := context.(Table)
		values, _ := root["Values"].(Table)
		current, _ := root["Template"].(Table)
		name, found := current["Name"].(string)
		if !found || values == nil {
			return "", errStubbed
		}
		delete(values, printKey) // no template ever sees it
		var text strings.Builder
		err := set.ExecuteTemplate(&text, name, context)
		values[printKey] = print
		return text.String(), err
	}
	return print
}

// stub is the text that Helm parses in place of the template of this name.
func stub(name string) []byte {
	if strings.HasPrefix(path.Base(name), "_") {
		return nil // it prints nothing
	}
	return []byte(stubbed)
}
