package main

import (
	"strings"
	"testing"
)

func TestAPanicIsAnAnswerThatSaysSo(t *testing.T) {
	engines[9] = func(*request) (string, error) { panic("as an engine might") }
	defer delete(engines, 9)
	answer := handle(line{text: []byte(`{"id": 7, "engine": 9}`)})
	if answer.ID != 7 || answer.OK || !strings.HasPrefix(answer.Fault, "Helm 9 panicked: as an engine might") {
		t.Fatalf("%+v", answer)
	}
}
