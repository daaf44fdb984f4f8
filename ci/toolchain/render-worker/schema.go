package main

import (
	"bytes"
	"sync"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// To compile a schema and to hold it against that of JSON Schema costs Helm more than all else in a render, so each is
// compiled once. What it accepts, Helm would accept; all else is left to Helm, whose words a refusal needs.
var schemas = struct {
	sync.Mutex
	compiled map[string]*jsonschema.Schema // by its text; nil for one that only Helm can judge
}{compiled: map[string]*jsonschema.Schema{}}

// Mutants of a schema come by the hundred, and none comes again.
const mostSchemas = 50

// accepts tells whether Helm's ValidateAgainstSingleSchema would accept values, if that can be told without it.
func accepts(schema []byte, values map[string]any) (accepted bool) {
	defer func() {
		if recover() != nil {
			accepted = false
		}
	}()
	schemas.Lock()
	compiled, known := schemas.compiled[string(schema)]
	schemas.Unlock()
	if !known {
		compiled = compile(schema)
		schemas.Lock()
		if len(schemas.compiled) >= mostSchemas {
			clear(schemas.compiled)
		}
		schemas.compiled[string(schema)] = compiled
		schemas.Unlock()
	}
	return compiled != nil && compiled.Validate(values) == nil
}

// compile gives nil for what is no schema, and for one that refers to files or to the network.
func compile(text []byte) *jsonschema.Schema {
	const place = "file:///values.schema.json" // Helm's name for it
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		return nil
	}
	compiler := jsonschema.NewCompiler()
	compiler.UseLoader(jsonschema.SchemeURLLoader{})
	if compiler.AddResource(place, document) != nil {
		return nil
	}
	compiled, err := compiler.Compile(place)
	if err != nil {
		return nil
	}
	return compiled
}
