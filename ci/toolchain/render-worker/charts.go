package main

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"helm.sh/helm/v4/pkg/ignore"
)

// file is one of a chart's, by its path in the chart. Data is shared between renders and never written to.
type file struct {
	name string
	data []byte
}

// charts keeps the files of each chart that one engine has loaded, until something about them changes on disk.
type charts struct {
	mutex sync.Mutex
	known map[string]kept
}

type kept struct {
	stamp string
	files []file
}

// A file that changes twice within the clock's tick keeps its time, so nothing that changed just now is kept.
const settled = time.Second

// files returns those of the chart at place; load reads them if they are not known as they are now.
func (c *charts) files(place string, load func() ([]file, error)) ([]file, error) {
	stamp, newest, err := stampOf(place)
	if err != nil {
		return load() // and let it say what is wrong
	}
	c.mutex.Lock()
	entry, found := c.known[place]
	c.mutex.Unlock()
	if found && entry.stamp == stamp {
		return entry.files, nil
	}
	began := time.Now()
	files, err := load()
	if err == nil && began.Sub(newest) > settled {
		c.mutex.Lock()
		if c.known == nil {
			c.known = map[string]kept{}
		}
		c.known[place] = kept{stamp, files}
		c.mutex.Unlock()
	}
	return files, err
}

// stampOf names the state of a chart on disk: path, time of change and size of each file.
func stampOf(place string) (stamp string, newest time.Time, err error) {
	var lines strings.Builder
	err = filepath.WalkDir(place, func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		info, err := os.Stat(name) // Helm follows links, too
		if err != nil {
			return err
		}
		if info.IsDir() {
			return fmt.Errorf("%s: a link to a folder, whose files are not looked at here", name)
		}
		if info.ModTime().After(newest) {
			newest = info.ModTime()
		}
		fmt.Fprintf(&lines, "%s\x00%d\x00%d\x00", name, info.ModTime().UnixNano(), info.Size())
		return nil
	})
	return lines.String(), newest, err
}

// changeable refuses what with cannot do as if it had been written to disk.
func changeable(changes map[string]*string) error {
	for name := range changes {
		if name == ignore.HelmIgnore {
			return fmt.Errorf("chart file %q: it decides which files there are, and so cannot be changed", name)
		}
		if name != path.Clean(name) || !filepath.IsLocal(name) || name == "." {
			return fmt.Errorf("chart file %q: not a clean path within the chart", name)
		}
	}
	return nil
}

// with returns files with the changes made, in the order in which Helm would find them in a folder.
func with(files []file, changes map[string]*string) ([]file, error) {
	if len(changes) == 0 {
		return files, nil
	}
	ignored, err := ignoredBy(files)
	if err != nil {
		return nil, err
	}
	changed := make([]file, 0, len(files)+len(changes))
	for _, each := range files {
		if _, given := changes[each.name]; !given {
			changed = append(changed, each)
		}
	}
	for name, text := range changes {
		if text != nil && !ignored(name) {
			data := bytes.TrimPrefix([]byte(*text), []byte("\xEF\xBB\xBF"))
			changed = append(changed, file{name, data})
		}
	}
	slices.SortFunc(changed, func(a, b file) int {
		return slices.Compare(strings.Split(a.name, "/"), strings.Split(b.name, "/"))
	})
	return changed, nil
}

// ignoredBy says which paths the chart's .helmignore hides.
func ignoredBy(files []file) (func(string) bool, error) {
	rules := ignore.Empty()
	for _, each := range files {
		if each.name == ignore.HelmIgnore {
			var err error
			if rules, err = ignore.Parse(bytes.NewReader(each.data)); err != nil {
				return nil, err
			}
		}
	}
	rules.AddDefaults()
	return func(name string) bool {
		if rules.Ignore(name, named{name, false}) {
			return true
		}
		for folder := path.Dir(name); folder != "."; folder = path.Dir(folder) {
			if rules.Ignore(folder, named{folder, true}) {
				return true
			}
		}
		return false
	}, nil
}

// named is all that the rules ask of a file: its name, and whether it is a folder.
type named struct {
	name   string
	folder bool
}

func (n named) Name() string       { return path.Base(n.name) }
func (n named) IsDir() bool        { return n.folder }
func (n named) Size() int64        { return 0 }
func (n named) ModTime() time.Time { return time.Time{} }
func (n named) Sys() any           { return nil }
func (n named) Mode() fs.FileMode {
	if n.folder {
		return fs.ModeDir
	}
	return 0
}
