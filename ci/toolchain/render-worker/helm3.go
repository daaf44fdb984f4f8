package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"text/template"
	_ "unsafe" // for go:linkname

	"helm.sh/helm/v3/pkg/action"
	"helm.sh/helm/v3/pkg/chart"
	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/cli"
	"helm.sh/helm/v3/pkg/cli/values"
	"helm.sh/helm/v3/pkg/engine"
	"helm.sh/helm/v3/pkg/getter"
)

var (
	charts3   = charts[chart.Chart]{read: read3, build: build3, sharable: alone3}
	sets3     = sets{functions: func(set *template.Template) { functions3(engine.Engine{}, set) }}
	settings3 = cli.New()
)

func init() {
	chartutil.DefaultCapabilities.APIVersions = slices.Clip(chartutil.DefaultCapabilities.APIVersions) // as in helm4.go
}

// helm3 is the command of helm/v3's cmd/helm/template.go, with runInstall of install.go.
func helm3(asked *request) (string, error) {
	text, err := template3(asked, true)
	if errors.Is(err, errStubbed) {
		return template3(asked, false)
	}
	return text, err
}

func template3(asked *request, stubs bool) (string, error) {
	client := action.NewInstall(&action.Configuration{Log: func(string, ...any) {}})
	if asked.KubeVersion != "" {
		parsed, err := chartutil.ParseKubeVersion(asked.KubeVersion)
		if err != nil {
			return "", fmt.Errorf("invalid kube version '%s': %s", asked.KubeVersion, err)
		}
		client.KubeVersion = parsed
	}
	client.DryRunOption = "true"
	client.DryRun = true
	client.ClientOnly = true
	client.Replace = true
	client.APIVersions = chartutil.VersionSet(asked.APIVersions)
	client.ReleaseName = asked.Release
	if client.Namespace = asked.Namespace; client.Namespace == "" {
		client.Namespace = settings3.Namespace()
	}
	place, err := client.LocateChart(asked.Chart, settings3)
	if err != nil {
		return "", err
	}
	given, err := values3(asked.Values)
	if err != nil {
		return "", err
	}
	loaded, err := load3(place, asked)
	if err != nil {
		return "", err
	}
	if err := installable3(loaded); err != nil {
		return "", err
	}
	client.SkipSchemaValidation = accepted3(loaded, given)
	var set *clone
	if stubs && client.SkipSchemaValidation {
		set = stub3(loaded, given)
	}
	rendered, err := client.RunWithContext(context.Background(), loaded, given)
	if err != nil && set != nil {
		return "", errStubbed
	}
	if err != nil {
		if rendered != nil {
			return "", notYAML(err)
		}
		return "", err
	}
	if set != nil {
		set.release()
	}
	var text strings.Builder
	fmt.Fprintln(&text, strings.TrimSpace(rendered.Manifest))
	for _, hook := range rendered.Hooks {
		fmt.Fprintf(&text, "---\n# Source: %s\n%s\n", hook.Path, hook.Manifest)
	}
	return text.String(), nil
}

type getter3 sources

func (g getter3) Get(name string, _ ...getter.Option) (*bytes.Buffer, error) {
	return sources(g).read(name)
}

func values3(given sources) (map[string]any, error) {
	serve := func(...getter.Option) (getter.Getter, error) { return getter3(given), nil }
	options := values.Options{ValueFiles: given.flags()}
	merged, err := options.MergeValues(getter.Providers{{Schemes: schemes, New: serve}})
	if err != nil {
		return nil, renamed{err}
	}
	return merged, nil
}

// load3 gives each render a chart of its own, from files that are read once.
func load3(place string, asked *request) (*chart.Chart, error) {
	found, err := charts3.find(place, asked.received)
	if err != nil {
		return nil, err
	}
	return charts3.chart(found, asked.ChartFiles)
}

func read3(place string) ([]file, error) {
	loaded, err := loader.Load(place)
	if err != nil {
		return nil, err
	}
	files := make([]file, 0, len(loaded.Raw))
	for _, raw := range loaded.Raw {
		files = append(files, file{raw.Name, raw.Data})
	}
	return files, nil
}

func build3(files []file) (*chart.Chart, error) {
	buffered := make([]*loader.BufferedFile, 0, len(files))
	for _, each := range files {
		buffered = append(buffered, &loader.BufferedFile{Name: each.name, Data: each.data})
	}
	return loader.LoadFiles(buffered)
}

// alone3 tells that a chart has no subcharts, as alone4 does.
func alone3(chart *chart.Chart) bool {
	return chart.Metadata.Dependencies == nil && len(chart.Dependencies()) == 0
}

// accepted3 tells that the schema has nothing against values; where subcharts have a say, Helm has to ask them all.
func accepted3(loaded *chart.Chart, given map[string]any) bool {
	if !alone3(loaded) {
		return false
	}
	if loaded.Schema == nil {
		return true
	}
	coalesced, err := chartutil.CoalesceValues(loaded, given) // a copy
	return err == nil && accepts(loaded.Schema, coalesced)
}

// stub3 puts stubs in the place of a chart's templates, and returns the templates; nil if it cannot.
func stub3(loaded *chart.Chart, given map[string]any) *clone {
	templates := make([]file, 0, len(loaded.Templates))
	stubs := make([]*chart.File, 0, len(loaded.Templates))
	for _, each := range loaded.Templates {
		templates = append(templates, file{path.Join(loaded.ChartFullPath(), each.Name), each.Data})
		if prints(each.Name) {
			stubs = append(stubs, &chart.File{Name: each.Name, Data: []byte(stubbed)})
		}
	}
	set := sets3.clone(templates)
	if set == nil || given[printKey] != nil || loaded.Values[printKey] != nil {
		return nil
	}
	loaded.Templates = stubs
	given[printKey] = printer[chartutil.Values](set)
	return set
}

// functions3 gives a set the functions of Helm's engine, which exports them in no other way.
//
//go:linkname functions3 helm.sh/helm/v3/pkg/engine.Engine.initFunMap
func functions3(engine.Engine, *template.Template)

func installable3(loaded *chart.Chart) error {
	if kind := loaded.Metadata.Type; kind != "" && kind != "application" {
		return fmt.Errorf("%s charts are not installable", kind)
	}
	if required := loaded.Metadata.Dependencies; required != nil {
		if err := action.CheckDependencies(loaded, required); err != nil {
			return fmt.Errorf("An error occurred while checking for chart dependencies. "+
				"You may need to run `helm dependency build` to fetch missing dependencies: %w", err)
		}
	}
	return nil
}
