package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"text/template"
	_ "unsafe" // for go:linkname

	"helm.sh/helm/v4/pkg/action"
	"helm.sh/helm/v4/pkg/chart"
	"helm.sh/helm/v4/pkg/chart/common"
	"helm.sh/helm/v4/pkg/chart/common/util"
	"helm.sh/helm/v4/pkg/chart/loader"
	"helm.sh/helm/v4/pkg/chart/loader/archive"
	chartv2 "helm.sh/helm/v4/pkg/chart/v2"
	loaderv2 "helm.sh/helm/v4/pkg/chart/v2/loader"
	"helm.sh/helm/v4/pkg/cli"
	"helm.sh/helm/v4/pkg/cli/values"
	"helm.sh/helm/v4/pkg/engine"
	"helm.sh/helm/v4/pkg/getter"
	release "helm.sh/helm/v4/pkg/release/v1"
	"sigs.k8s.io/yaml"
)

var (
	charts4   = charts[chartv2.Chart]{read: read4, build: build4, sharable: alone4}
	sets4     = sets{functions: func(set *template.Template) { functions4(engine.Engine{}, context.Background(), set) }}
	settings4 = cli.New()
)

func init() {
	// Renders append to it, at the same time: without room to spare, each gets a copy.
	common.DefaultCapabilities.APIVersions = slices.Clip(common.DefaultCapabilities.APIVersions)
}

// helm4 is the command of helm/v4's pkg/cmd/template.go, with runInstall of install.go.
func helm4(asked *request) (string, error) {
	text, err := template4(asked, true)
	if errors.Is(err, errStubbed) {
		return template4(asked, false)
	}
	return text, err
}

func template4(asked *request, stubs bool) (string, error) {
	client := action.NewInstall(action.NewConfiguration(action.ConfigurationSetLogger(slog.DiscardHandler)))
	if asked.KubeVersion != "" {
		parsed, err := common.ParseKubeVersion(asked.KubeVersion)
		if err != nil {
			return "", fmt.Errorf("invalid kube version '%s': %w", asked.KubeVersion, err)
		}
		client.KubeVersion = parsed
	}
	client.DryRunStrategy = action.DryRunClient
	client.Replace = true
	client.APIVersions = common.VersionSet(asked.APIVersions)
	client.ReleaseName = asked.Release
	if client.Namespace = asked.Namespace; client.Namespace == "" {
		client.Namespace = settings4.Namespace()
	}
	place, err := client.LocateChart(asked.Chart, settings4)
	if err != nil {
		return "", err
	}
	given, err := values4(asked.Values)
	if err != nil {
		return "", err
	}
	loaded, err := load4(place, asked)
	if err != nil {
		return "", err
	}
	if err := installable4(loaded); err != nil {
		return "", err
	}
	client.SkipSchemaValidation = accepted4(loaded, given)
	var set *clone
	if stubs && client.SkipSchemaValidation {
		set = stub4(loaded, given)
	}
	outcome, err := client.RunWithContext(context.Background(), loaded, given)
	rendered, _ := outcome.(*release.Release)
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

type getter4 sources

func (g getter4) Get(name string, _ ...getter.Option) (*bytes.Buffer, error) {
	return sources(g).read(name)
}

func values4(given sources) (map[string]any, error) {
	serve := func(...getter.Option) (getter.Getter, error) { return getter4(given), nil }
	options := values.Options{ValueFiles: given.flags()}
	merged, err := options.MergeValues(getter.Providers{{Schemes: schemes, New: serve}})
	if err != nil {
		return nil, renamed{err}
	}
	return merged, nil
}

// load4 gives each render a chart of its own, from files that are read once.
func load4(place string, asked *request) (chart.Charter, error) {
	found, err := charts4.find(place, asked.received)
	var other otherChart
	if errors.As(err, &other) && len(asked.ChartFiles) == 0 {
		return other.chart, nil
	}
	if err != nil {
		return nil, err
	}
	if err := supported4(place, asked.ChartFiles); err != nil {
		return nil, err
	}
	return charts4.chart(found, asked.ChartFiles)
}

// otherChart is a chart of another apiVersion, which is not kept.
type otherChart struct{ chart chart.Charter }

func (otherChart) Error() string { return "not of apiVersion v1 or v2" }

func read4(place string) ([]file, error) {
	loaded, err := loader.Load(place)
	if err != nil {
		return nil, err
	}
	v2, ok := loaded.(*chartv2.Chart)
	if !ok {
		return nil, otherChart{loaded}
	}
	files := make([]file, 0, len(v2.Raw))
	for _, raw := range v2.Raw {
		files = append(files, file{raw.Name, raw.Data})
	}
	return files, nil
}

func build4(files []file) (*chartv2.Chart, error) {
	buffered := make([]*archive.BufferedFile, 0, len(files))
	for _, each := range files {
		buffered = append(buffered, &archive.BufferedFile{Name: each.name, Data: each.data})
	}
	return loaderv2.LoadFiles(buffered)
}

// alone4 tells that a chart has no subcharts: those Helm enables and merges within the chart that it is given. Of a
// chart alone it copies the values (util.CoalesceValues), and templates cannot change the rest.
func alone4(chart *chartv2.Chart) bool {
	return chart.Metadata.Dependencies == nil && len(chart.Dependencies()) == 0
}

// supported4 says of a changed Chart.yaml what loader.Load says of one on disk, before it chooses another loader.
func supported4(place string, changes map[string]*string) error {
	text, changed := changes["Chart.yaml"]
	if !changed {
		return nil
	}
	if text == nil {
		missing := &fs.PathError{Op: "open", Path: filepath.Join(place, "Chart.yaml"), Err: syscall.ENOENT}
		return fmt.Errorf("unable to detect chart at %s: %w", place, missing)
	}
	var base struct {
		APIVersion string `json:"apiVersion"`
	}
	if err := yaml.Unmarshal([]byte(*text), &base); err != nil {
		return fmt.Errorf("cannot load Chart.yaml: %w", err)
	}
	if !slices.Contains([]string{"", chartv2.APIVersionV1, chartv2.APIVersionV2}, base.APIVersion) {
		return errors.New("unsupported chart version")
	}
	return nil
}

// accepted4 tells that the schema has nothing against values; where subcharts have a say, Helm has to ask them all.
func accepted4(loaded chart.Charter, given map[string]any) bool {
	v2, ok := loaded.(*chartv2.Chart)
	if !ok || !alone4(v2) {
		return false
	}
	if v2.Schema == nil {
		return true
	}
	coalesced, err := util.CoalesceValues(v2, given) // a copy
	return err == nil && accepts(v2.Schema, coalesced)
}

// stub4 puts stubs in the place of a chart's templates, and returns the templates; nil if it cannot.
func stub4(loaded chart.Charter, given map[string]any) *clone {
	v2, ok := loaded.(*chartv2.Chart)
	if !ok {
		return nil
	}
	templates := make([]file, 0, len(v2.Templates))
	stubs := make([]*common.File, 0, len(v2.Templates))
	for _, each := range v2.Templates {
		templates = append(templates, file{path.Join(v2.ChartFullPath(), each.Name), each.Data})
		if prints(each.Name) {
			stubs = append(stubs, &common.File{Name: each.Name, Data: []byte(stubbed)})
		}
	}
	set := sets4.clone(templates)
	if set == nil || given[printKey] != nil || v2.Values[printKey] != nil {
		return nil
	}
	v2.Templates = stubs
	given[printKey] = printer[common.Values](set)
	return set
}

// functions4 gives a set the functions of Helm's engine, which exports them in no other way.
//
//go:linkname functions4 helm.sh/helm/v4/pkg/engine.Engine.initFunMap
func functions4(engine.Engine, context.Context, *template.Template)

func installable4(loaded chart.Charter) error {
	accessor, err := chart.NewAccessor(loaded)
	if err != nil {
		return err
	}
	if kind := accessor.MetadataAsMap()["Type"]; kind != "" && kind != "application" {
		return fmt.Errorf("%s charts are not installable", kind)
	}
	if required := accessor.MetaDependencies(); len(required) > 0 {
		if err := action.CheckDependencies(loaded, required); err != nil {
			return fmt.Errorf("an error occurred while checking for chart dependencies. "+
				"You may need to run 'helm dependency build' to fetch missing dependencies: %w", err)
		}
	}
	return nil
}
