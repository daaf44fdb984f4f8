package main

import (
	"bytes"
	"os"
	"strings"
)

// source is one --values flag. Its name is what messages call it ("-" for stdin); its text is given or read from path.
type source struct {
	Name string  `json:"name"`
	Path string  `json:"path"`
	Text *string `json:"text"`
}

type sources []source

// The commands read "-" from their own stdin, which here carries the requests, so another name stands in for it.
const stdin = "stdin:-"

// schemes are those of the names that read serves: paths have none.
var schemes = []string{"", "stdin"}

// flags are the arguments of --values, in order.
func (s sources) flags() []string {
	names := make([]string, 0, len(s))
	for _, each := range s {
		if strings.TrimSpace(each.Name) == "-" {
			each.Name = stdin
		}
		names = append(names, each.Name)
	}
	return names
}

// read is what Helm's getters call for a name of flags.
func (s sources) read(name string) (*bytes.Buffer, error) {
	for i, flag := range s.flags() {
		if flag != name {
			continue
		}
		if s[i].Text != nil {
			return bytes.NewBufferString(*s[i].Text), nil
		}
		if s[i].Path != "" {
			name = s[i].Path
		}
		break
	}
	data, err := os.ReadFile(name)
	return bytes.NewBuffer(data), err
}

// renamed is the error with the name that the command has for stdin.
type renamed struct{ error }

func (e renamed) Error() string {
	return strings.Replace(e.error.Error(), "failed to parse "+stdin+":", "failed to parse -:", 1)
}
