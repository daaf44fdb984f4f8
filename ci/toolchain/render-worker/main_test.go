package main

import (
	"maps"
	"strings"
	"testing"

	"helm.sh/helm/v4/pkg/chart/common"
	"helm.sh/helm/v4/pkg/chart/common/util"
	chartv2 "helm.sh/helm/v4/pkg/chart/v2"
	"helm.sh/helm/v4/pkg/engine"
)

func TestAPanicIsAnAnswerThatSaysSo(t *testing.T) {
	engines[9] = func(*request) (string, error) { panic("as an engine might") }
	defer delete(engines, 9)
	answer := handle(line{text: []byte(`{"id": 7, "engine": 9}`)})
	if answer.ID != 7 || answer.OK || !strings.HasPrefix(answer.Fault, "Helm 9 panicked: as an engine might") {
		t.Fatalf("%+v", answer)
	}
}

func TestBothFloorsPrintTheSame(t *testing.T) {
	loaded, err := load4("../../../charts/agent-identities", &request{})
	if err != nil {
		t.Fatal(err)
	}
	chart := loaded.(*chartv2.Chart)
	release := common.ReleaseOptions{Name: "a", Namespace: "b", IsInstall: true}
	render := func(with engineRender) map[string]string {
		values, err := util.ToRenderValues(chart, map[string]any{"agents": map[string]any{"c": nil, "d": map[string]any{}}}, release, nil)
		if err != nil {
			t.Fatal(err)
		}
		printed, err := with(chart, values)
		if err != nil {
			t.Fatal(err)
		}
		return printed
	}
	if one, other := render(engine.Engine{}.Render), render(executing(chart)); !maps.Equal(one, other) {
		t.Fatalf("%v\n%v", one, other)
	}
}
