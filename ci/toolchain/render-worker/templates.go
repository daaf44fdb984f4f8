package main

import (
	"bytes"
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
	stubbed = "{{call .Values." + printKey + " .}}"
	// printKey is where a stub finds the printer; a chart that has such a key of its own gets no stubs.
	printKey = "renderWorkerPrinter"
)

// errStubbed is shown to nobody.
var errStubbed = errors.New("a render with stubs failed")

// sets keeps what one engine has parsed. functions binds Helm's functions to a set, where include and tpl look.
type sets struct {
	functions func(*template.Template)
	mutex     sync.Mutex
	parsed    []*parsed
}

// parsed is a set, of which each render has a clone for itself, since include counts how deep it is; clones that renders
// are done with serve the next ones. To execute a template changes nothing else: tpl makes clones of its own.
type parsed struct {
	of   []file
	set  *template.Template // nil for templates that only Helm can judge
	idle sync.Pool
}

// clone is the one of a set that a render has for itself.
type clone struct {
	*template.Template
	from *parsed
}

// release lets another render have it. One that did not get to the end of its templates may have left counts behind.
func (c *clone) release() { c.from.idle.Put(c) }

// Mutants of templates come by the thousand, each for a few renders.
const mostSets = 20

// clone gives a set for one render of these templates, by their full names; nil if there can be none.
func (s *sets) clone(templates []file) *clone {
	parsed := s.find(templates)
	if parsed.set == nil {
		return nil
	}
	if idle, found := parsed.idle.Get().(*clone); found {
		return idle
	}
	cloned, err := parsed.set.Clone()
	if err != nil {
		return nil
	}
	cloned.Option("missingkey=zero")
	s.functions(cloned)
	return &clone{cloned, parsed}
}

// find returns what is parsed of these templates. To compare texts costs nothing where they are the same in memory.
func (s *sets) find(templates []file) *parsed {
	s.mutex.Lock()
	known := slices.Clone(s.parsed)
	s.mutex.Unlock()
	for _, each := range slices.Backward(known) {
		if slices.EqualFunc(each.of, templates, same) {
			return each
		}
	}
	made := &parsed{of: templates, set: s.parse(templates)}
	s.mutex.Lock()
	if len(s.parsed) >= mostSets {
		s.parsed = s.parsed[1:]
	}
	s.parsed = append(s.parsed, made)
	s.mutex.Unlock()
	return made
}

func same(a, b file) bool { return a.name == b.name && bytes.Equal(a.data, b.data) }

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
func printer[Table ~map[string]any](set *clone) any {
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

// prints tells whether Helm prints the template of this name, rather than leave it to those that include it.
func prints(name string) bool { return !strings.HasPrefix(path.Base(name), "_") }
