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
	"sync/atomic"
	"time"

	"helm.sh/helm/v4/pkg/ignore"
)

// file is one of a chart's, by its path in the chart. Data is shared between renders and never written to.
type file struct {
	name string
	data []byte
}

// charts keeps what one engine has loaded of each chart, until something about it changes on disk.
type charts[Chart any] struct {
	read     func(place string) ([]file, error)
	build    func([]file) (*Chart, error)
	sharable func(*Chart) bool // whether renders of copies of a chart leave all that the copies share as it was
	mutex    sync.Mutex
	known    map[string]*kept[Chart]
}

// kept holds the files of a chart and, if it is sharable, the chart that they make. Neither is ever written to.
type kept[Chart any] struct {
	marks []mark
	seen  atomic.Pointer[time.Time] // the disk was as the marks say at some time after this
	files []file
	chart *Chart
}

// mark is the state of a file or folder on disk. The time of a folder tells of files that come and go.
type mark struct {
	path     string
	modified time.Time
	size     int64
}

// A file that changes twice within the clock's tick keeps its time, so nothing that changed just now is kept.
const settled = time.Second

// find returns what is kept of the chart at place, as it was when it was asked for or later; it reads the chart if it is
// not known as it is now. One look at the disk serves all who had asked before.
func (c *charts[Chart]) find(place string, asked time.Time) (*kept[Chart], error) {
	c.mutex.Lock()
	known := c.known[place]
	c.mutex.Unlock()
	began := time.Now()
	if known != nil && known.seen.Load().After(asked) {
		return known, nil
	}
	if known != nil && unchanged(known.marks) {
		known.seen.Store(&began)
		return known, nil
	}
	marks, newest, unmarked := marksOf(place) // before the files are read: a change meanwhile shows the next time
	files, err := c.read(place)
	if err != nil {
		return nil, err
	}
	found := &kept[Chart]{marks: marks, files: files}
	found.seen.Store(&began)
	if unmarked == nil && began.Sub(newest) > settled {
		if chart, err := c.build(files); err == nil && c.sharable(chart) {
			found.chart = chart
		}
		c.mutex.Lock()
		if c.known == nil {
			c.known = map[string]*kept[Chart]{}
		}
		c.known[place] = found
		c.mutex.Unlock()
	}
	return found, nil
}

// chart returns what is kept, with the changes made to its files, for one render to change as Helm does.
func (c *charts[Chart]) chart(found *kept[Chart], changes map[string]*string) (*Chart, error) {
	if len(changes) == 0 && found.chart != nil {
		chart := *found.chart
		return &chart, nil
	}
	files, err := with(found.files, changes)
	if err != nil {
		return nil, err
	}
	return c.build(files)
}

// marksOf returns the marks of all files and folders of a chart, and the time of the last change.
func marksOf(place string) (marks []mark, newest time.Time, err error) {
	err = filepath.WalkDir(place, func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := os.Stat(name) // Helm follows links, too
		if err != nil {
			return err
		}
		if info.IsDir() && !entry.IsDir() {
			return fmt.Errorf("%s: a link to a folder, whose files are not looked at here", name)
		}
		if info.ModTime().After(newest) {
			newest = info.ModTime()
		}
		marks = append(marks, mark{name, info.ModTime(), info.Size()})
		return nil
	})
	return marks, newest, err
}

func unchanged(marks []mark) bool {
	for _, each := range marks {
		info, err := os.Stat(each.path)
		if err != nil || info.Size() != each.size || !info.ModTime().Equal(each.modified) {
			return false
		}
	}
	return true
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
