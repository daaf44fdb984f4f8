// render-worker answers for `helm template` of Helm 3 and of Helm 4 without a process for each render.
//
// One JSON object a line comes in on stdin, one goes out on stdout for each of them, in the order in which they are
// done; the id joins them. It calls what the two commands call: their loaders, their values parsers and their install
// action as a client's dry run; only the few lines with which the commands frame the outcome are written again here.
// At the end of stdin it finishes what it was asked and ends.
package main

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"log/slog"
	"os"
	"runtime"
	"runtime/debug"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/spf13/pflag"
)

// request is one `helm template RELEASE CHART --namespace --kube-version --api-versions --values`.
type request struct {
	ID          int64    `json:"id"`
	Engine      int      `json:"engine"` // 3 or 4
	Chart       string   `json:"chart"`
	Release     string   `json:"release"`
	Namespace   string   `json:"namespace"`
	KubeVersion string   `json:"kubeVersion"`
	APIVersions []string `json:"apiVersions"`
	Values      sources  `json:"values"`
	// ChartFiles stand in for the chart's own, by path in the chart; null removes one. Nothing is written.
	ChartFiles map[string]*string `json:"chartFiles"`
	received   time.Time
}

// response holds what the command prints: on stdout if it is ok, else its error on stderr, without earlier warnings.
// A fault is neither: the request was none, or the engine panicked. Text that is no UTF-8 is in base64.
type response struct {
	ID    int64  `json:"id"`
	OK    bool   `json:"ok"`
	Text  string `json:"text,omitempty"`
	Raw   string `json:"base64,omitempty"`
	Error string `json:"error,omitempty"`
	Fault string `json:"fault,omitempty"`
}

var engines = map[int]func(*request) (string, error){3: helm3, 4: helm4}

func main() {
	answers := os.Stdout
	os.Stdout = os.Stderr // nothing but answers may stand there, whatever a library prints
	log.SetOutput(io.Discard)
	slog.SetDefault(slog.New(slog.DiscardHandler))
	debug.SetGCPercent(800)         // each render leaves all its memory behind: collect rarely,
	debug.SetMemoryLimit(512 << 20) // but as often as need be once they are large

	if len(os.Args) == 2 && os.Args[1] == "floor" {
		if err := floor(os.Stdin, answers); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	lines := make(chan line, 64) // read ahead, so that one look at a chart on disk serves many requests
	var done sync.WaitGroup
	var writing sync.Mutex
	for range runtime.GOMAXPROCS(0) {
		done.Go(func() {
			for each := range lines {
				answer := encode(handle(each))
				writing.Lock()
				_, err := answers.Write(answer)
				writing.Unlock()
				if err != nil {
					os.Exit(1) // nobody listens any more
				}
			}
		})
	}
	in := bufio.NewReaderSize(os.Stdin, 1<<20)
	for {
		text, err := in.ReadBytes('\n')
		if len(bytes.TrimSpace(text)) > 0 {
			lines <- line{text, time.Now()}
		}
		if err != nil {
			break
		}
	}
	close(lines)
	done.Wait()
}

// line is a request as it came in.
type line struct {
	text     []byte
	received time.Time
}

func encode(answer response) []byte {
	if !utf8.ValidString(answer.Text) {
		answer.Raw, answer.Text = base64.StdEncoding.EncodeToString([]byte(answer.Text)), ""
	}
	var line bytes.Buffer
	encoder := json.NewEncoder(&line)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(answer); err != nil {
		panic(err) // strings, a number and a bool: there is nothing in it that can fail
	}
	return line.Bytes()
}

// handle never panics: a template that brings an engine down is one bad answer, not the end of all the others.
func handle(given line) (answer response) {
	asked := request{received: given.received}
	defer func() {
		if cause := recover(); cause != nil {
			fault := fmt.Sprintf("Helm %d panicked: %v\n%s", asked.Engine, cause, debug.Stack())
			answer = response{ID: asked.ID, Fault: fault}
		}
	}()
	decoder := json.NewDecoder(bytes.NewReader(given.text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&asked); err != nil {
		return response{ID: asked.ID, Fault: fmt.Sprintf("no request that this worker knows: %v", err)}
	}
	render, known := engines[asked.Engine]
	if !known {
		return response{ID: asked.ID, Fault: fmt.Sprintf("no Helm %d in this worker; it holds 3 and 4", asked.Engine)}
	}
	if err := changeable(asked.ChartFiles); err != nil {
		return response{ID: asked.ID, Fault: err.Error()}
	}
	apiVersions, err := asFlags(asked.APIVersions)
	if err == nil {
		asked.APIVersions = apiVersions
		answer.Text, err = render(&asked)
	}
	if err != nil {
		return response{ID: asked.ID, Error: fmt.Sprintf("Error: %v\n", err)} // as cobra prints it for both
	}
	answer.ID, answer.OK = asked.ID, true
	return answer
}

// asFlags reads API versions as the command line does, where one flag may hold several with commas between them.
func asFlags(given []string) ([]string, error) {
	var versions []string
	flags := pflag.NewFlagSet("template", pflag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.StringSliceVarP(&versions, "api-versions", "a", nil, "")
	arguments := make([]string, 0, len(given))
	for _, version := range given {
		arguments = append(arguments, "--api-versions="+version)
	}
	return versions, flags.Parse(arguments)
}

// notYAML frames an error as both commands do if a release came with it.
func notYAML(err error) error {
	return fmt.Errorf("%w\n\nUse --debug flag to render out invalid YAML", err)
}
