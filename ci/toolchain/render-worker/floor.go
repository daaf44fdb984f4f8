package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"path"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"

	"helm.sh/helm/v4/pkg/chart"
	"helm.sh/helm/v4/pkg/chart/common"
	"helm.sh/helm/v4/pkg/chart/common/util"
	chartv2 "helm.sh/helm/v4/pkg/chart/v2"
	"helm.sh/helm/v4/pkg/engine"
	releaseutil "helm.sh/helm/v4/pkg/release/v1/util"
)

// floor is what `render-worker floor` measures the worker against: Helm's own code on the same chart with the same
// values, without a process, a request, an answer or a look at the disk for each render. A line on stdin asks for so
// many renders of a request, on all cores; a line on stdout says that they are done.
//
// Both floors read the values files, merge them into the chart's, hold them against the schema (compiled once) and
// parse the manifests that the templates print, since other values may come each time and Helm sorts what it prints.
// "engine" is Helm's engine, which parses all templates each time. "execution" parses them once: what is left is what
// no program can save that prints the same bytes.
func floor(in io.Reader, out io.Writer) error {
	lines := bufio.NewScanner(in)
	for lines.Scan() {
		var asked struct {
			Floor   string
			Renders int
			Request request
		}
		if err := json.Unmarshal(lines.Bytes(), &asked); err != nil {
			return err
		}
		if err := onAllCores(asked.Renders, asked.Floor == "execution", &asked.Request); err != nil {
			return err
		}
		if _, err := fmt.Fprintln(out, "done"); err != nil {
			return err
		}
	}
	return lines.Err()
}

func onAllCores(renders int, parsedOnce bool, asked *request) error {
	loaded, err := load4(asked.Chart, asked)
	if err != nil {
		return err
	}
	chart, ok := loaded.(*chartv2.Chart)
	if !ok || !alone4(chart) {
		return fmt.Errorf("%s: a floor is of charts without subcharts", asked.Chart)
	}
	failures := make([]error, runtime.GOMAXPROCS(0))
	var begun atomic.Int64
	var running sync.WaitGroup
	for core := range failures {
		running.Go(func() {
			render := engine.Engine{}.Render
			if parsedOnce {
				render = executing(chart)
			}
			for failures[core] == nil && begun.Add(1) <= int64(renders) {
				failures[core] = renderOnce(chart, asked, render)
			}
		})
	}
	running.Wait()
	return errors.Join(failures...)
}

// engineRender is what Helm's engine does: it prints each template, by its full name, with the values that it is given.
type engineRender = func(chart.Charter, common.Values) (map[string]string, error)

func renderOnce(chart *chartv2.Chart, asked *request, render engineRender) error {
	given, err := values4(asked.Values)
	if err != nil {
		return err
	}
	version, err := common.ParseKubeVersion(asked.KubeVersion)
	if err != nil {
		return err
	}
	capabilities := common.DefaultCapabilities.Copy()
	capabilities.KubeVersion = *version
	release := common.ReleaseOptions{Name: asked.Release, Namespace: asked.Namespace, Revision: 1, IsInstall: true}
	values, err := util.ToRenderValuesWithSchemaValidation(chart, given, release, capabilities, true)
	if err != nil {
		return err
	}
	if merged, _ := values["Values"].(common.Values); !accepts(chart.Schema, merged) {
		return errors.New("the schema refuses the values")
	}
	printed, err := render(chart, values)
	if err != nil {
		return err
	}
	maps.DeleteFunc(printed, func(name, _ string) bool { return strings.HasSuffix(name, "NOTES.txt") })
	_, _, err = releaseutil.SortManifests(printed, nil, releaseutil.InstallOrder)
	return err
}

// executing parses the templates of a chart, and returns what executes them as the engine does.
func executing(loaded *chartv2.Chart) engineRender {
	templates := make([]file, 0, len(loaded.Templates))
	for _, each := range loaded.Templates {
		templates = append(templates, file{path.Join(loaded.ChartFullPath(), each.Name), each.Data})
	}
	set := sets4.clone(templates)
	files := filesOf(loaded)
	return func(_ chart.Charter, values common.Values) (map[string]string, error) {
		metadata := maps.Clone(values["Chart"].(map[string]any))
		metadata["IsRoot"] = true
		context := common.Values{
			"Chart": metadata, "Files": files, "Release": values["Release"], "Capabilities": values["Capabilities"],
			"Values": values["Values"], "Subcharts": map[string]any{},
		}
		printed := make(map[string]string, len(templates))
		for _, each := range templates {
			if !prints(each.name) {
				continue
			}
			context["Template"] = common.Values{"Name": each.name, "BasePath": path.Join(loaded.Name(), "templates")}
			var text strings.Builder
			if err := set.ExecuteTemplate(&text, each.name, context); err != nil {
				return nil, err
			}
			printed[each.name] = strings.ReplaceAll(text.String(), "<no value>", "")
		}
		return printed, nil
	}
}

// filesOf returns what templates know as .Files, which the engine makes and exports in no other way.
func filesOf(loaded *chartv2.Chart) (files any) {
	seen := *loaded
	seen.Templates = []*common.File{{Name: "templates/a", Data: []byte("{{ call .Values.see .Files }}")}}
	see := func(given any) string { files = given; return "" }
	values := common.Values{"Values": common.Values{"see": see}}
	if _, err := (engine.Engine{}).Render(&seen, values); err != nil {
		panic(err) // the template is ours
	}
	return files
}
