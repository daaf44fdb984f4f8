"""The render worker returns the same bytes as `helm template` of each Helm, and survives every request."""

import dataclasses
import hashlib
import itertools
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from agent_identities.chart.helm import Helm, HelmError, Renderer, Renders, Target, clean
from agent_identities.chart.values import Values
from agent_identities.toolchain import component, provide
from render_worker import (
    Answer,
    ChartFiles,
    Engine,
    RenderRequest,
    RenderWorker,
    RenderWorkerError,
    WorkerRenderer,
)
from support.invalid_values import VALUES, Invalid
from support.server import eventually

REPOSITORY = Path(__file__).parents[2]
EXAMPLES = sorted((REPOSITORY / "values").glob("*.yaml"))
EXAMPLES += sorted((REPOSITORY / "charts" / "agent-identities" / "ci").glob("*.yaml"))
ENGINES: tuple[Engine, ...] = (4, 3)


class Command(Helm):
    """A Helm command that returns its output, after success and after failure."""

    def answer(self, chart: Path, values: Values, target: Target) -> Answer:
        try:
            return Answer(ok=True, text=self.template(chart, values, target))
        except FailedError as failed:
            return Answer(ok=False, text=failed.stderr)

    def run(self, *arguments: str, values: Values | None = None, env: Mapping[str, str] | None = None) -> str:
        process = self.execute(*arguments, values=values, env=env)
        if process.returncode:
            raise FailedError(process.stderr)
        return process.stdout


class FailedError(Exception):
    def __init__(self, stderr: str) -> None:
        super().__init__(stderr)
        start = stderr.index("Error: ")  # after warnings, which the worker does not return
        self.stderr = stderr[start:]


def comparable(answer: Answer) -> Answer:
    """The answer with sorted schema errors, because Helm prints them in another order in each run."""
    if answer.ok or "specifications of the schema(s)" not in answer.text:
        return answer
    return Answer(ok=False, text="".join(sorted(answer.text.splitlines(keepends=True))))


@dataclasses.dataclass(frozen=True)
class Pair:
    """The same Helm as a command and in the worker."""

    engine: Engine
    command: Command
    worker: RenderWorker

    def same(
        self, chart: Path, values: Values | None = None, target: Target | None = None, files: ChartFiles | None = None
    ) -> Answer:
        """The common answer. Fails if the answers differ."""
        values, target = values or Values(), target or Target()
        expected = self.command.answer(chart, values, target)
        request = RenderRequest(self.engine, chart, values, target, files or {})
        assert comparable(self.worker.submit(request).result()) == comparable(expected)
        return expected


@pytest.fixture(scope="session")
def binary() -> Path:
    return provide(["render-worker"])["render-worker"].path


@pytest.fixture(scope="session")
def worker(binary: Path) -> Iterator[RenderWorker]:
    with RenderWorker(binary) as running:
        yield running


@pytest.fixture(params=ENGINES, ids=lambda engine: f"helm-{engine}")
def pair(request: pytest.FixtureRequest, helm_3: Helm, helm_4: Helm, worker: RenderWorker) -> Pair:
    engine: Engine = request.param
    helm, name = (helm_4, "helm") if engine == 4 else (helm_3, "helm-3")
    if helm.version != component(name).version:
        pytest.skip(f"needs the pinned Helm {component(name).version} to compare with, not {helm.path} {helm.version}")
    return Pair(engine, Command(helm.path, helm.version), worker)


def write(folder: Path, files: Mapping[str, str | bytes]) -> Path:
    """A chart with these files and a Chart.yaml."""
    for name, content in {"Chart.yaml": "{apiVersion: v2, name: small, version: 1.0.0}", **files}.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return folder


def values_files(folder: Path, *texts: str) -> Values:
    paths = [folder / f"values-{number}.yaml" for number in range(len(texts))]
    for path, text in zip(paths, texts, strict=True):
        path.write_bytes(text.encode())
    return Values.read(paths)


ECHO = """
apiVersion: v1
kind: ConfigMap
metadata: {name: echo}
data:
  yaml: |
    {{- .Values | toYaml | nindent 4 }}
  json: {{ .Values | toJson | quote }}
  types: |
    {{- range $key, $value := .Values }}
    {{ printf "%q %T %v" $key $value $value }}
    {{- end }}
"""


@pytest.fixture(scope="session")
def echo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A chart that prints its values in every form that shows their types."""
    defaults = "{kept: 1, gone: {deep: 2, other: 3}, empty: null, list: [1, null]}"
    return write(tmp_path_factory.mktemp("echo"), {"templates/echo.yaml": ECHO, "values.yaml": defaults})


def test_the_engines_are_the_pinned_helms() -> None:
    text = (component("render-worker").folder / "go.mod").read_text()
    for engine, name in ((4, "helm"), (3, "helm-3")):
        assert f"helm.sh/helm/v{engine} v{component(name).version}\n" in text


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_an_example_renders_to_the_same_bytes(pair: Pair, chart: Path, path: Path) -> None:
    assert pair.same(chart, Values.read([path])).ok


BY_SCHEMA = [case for case in VALUES if case.refusal.path.startswith("/")]
BY_TEMPLATES = [case for case in VALUES if case not in BY_SCHEMA]


@pytest.mark.parametrize("case", [*BY_SCHEMA, *BY_TEMPLATES[::6]], ids=str)
def test_invalid_values_have_the_same_error(pair: Pair, chart: Path, case: Invalid) -> None:
    answer = pair.same(chart, Values(overrides=case.values))
    assert not answer.ok
    with pytest.raises(HelmError) as error:
        WorkerRenderer(pair.worker, chart, engine=pair.engine).render(Values(overrides=case.values))
    assert str(error.value) == clean(answer.text)


def test_the_worker_renders_the_same_objects_as_the_renderer(
    worker: RenderWorker, helm_4: Helm, helm_3: Helm, chart: Path
) -> None:
    pairs: list[tuple[Renders, Renders]] = [
        (Renderer(helm_4, chart), WorkerRenderer(worker, chart)),
        (Renderer(helm_3, chart), WorkerRenderer(worker, chart, engine=3)),
    ]
    for by_process, by_worker in pairs:
        values = Values(overrides={"agents": {"a": {}}})
        assert by_worker.render(values) == by_process.render(values)
        with pytest.raises(HelmError) as expected:
            by_process.render(Values(overrides={"agnts": {}}))
        with pytest.raises(HelmError) as error:
            by_worker.render(Values(overrides={"agnts": {}}))
        assert str(error.value) == str(expected.value)


WORDS = ("a", "b-1", "\u00dc", "proxy", "x" * 70, "null", "1e3", "", "\U0001f600", "a\r\nb", "{{ . }}")


def generated(seed: int) -> dict[str, Any]:
    """Valid values, values that the schema refuses, and values that the templates refuse."""
    draw = random.Random(seed)

    def word() -> str:
        return draw.choice(WORDS)

    def agent() -> dict[str, Any]:
        entries = {
            "tiers": draw.choice([["proxy"], [], [word()], None]),
            "instances": draw.choice([1, 2, 0, "3"]),
            "token": {"expirationSeconds": draw.choice([600, 3600, 3607, 1, 1e4])},
            "labels": {word(): word()},
            "annotations": {"example.org/note": word()},
            word(): draw.choice([word(), -9, None, True, 2.5e-7, [word()], {word(): word()}]),
        }
        return {key: entries[key] for key in draw.sample(list(entries), draw.choice([0, 1, 1, 2]))}

    names = draw.sample(["a", "b", "worker-1", "default", "Bad_Name", "agent-proxy"], draw.randint(1, 2))
    return {"agents": {name: agent() for name in names}}


@pytest.mark.parametrize("start", range(0, 16, 4))
def test_generated_values_have_the_same_outcome(pair: Pair, chart: Path, start: int) -> None:
    for seed in range(start, start + 4):
        pair.same(chart, Values(overrides=generated(seed)))


def test_the_generated_values_contain_valid_and_invalid_values(worker: RenderWorker, chart: Path) -> None:
    asked = [RenderRequest(4, chart, Values(overrides=generated(seed))) for seed in range(16)]
    assert {answer.result().ok for answer in map(worker.submit, asked)} == {True, False}


@pytest.mark.parametrize(
    "text",
    [
        "", "null", "just text", "- a\n- b\n", "a: [1, 2\n", "a: b: c\n", "\ta: 1\n", "a: 1\na: 2\n", "a: *nobody\n",
        "a: &a [*a]\n", "\ufeffa: 1\n", "a: 1\n---\nb: 2\n", "a: !!binary x\n", "a: \x01\n", "a: 1\r\nb: |\r\n  x\r\n",
    ],
)  # fmt: skip
def test_unusual_and_invalid_values_files_have_the_same_outcome(
    pair: Pair, echo: Path, tmp_path: Path, text: str
) -> None:
    pair.same(echo, values_files(tmp_path, text))


def test_unusual_keys_and_numbers_are_parsed_as_in_helm(pair: Pair, echo: Path, tmp_path: Path) -> None:
    keys = "1: a\ntrue: b\n~: c\n1.5: d\n'': e\n'a.b': f\n? >-\n  folded\n: g\n"
    numbers = (
        "i: 12345678901234567890\nj: 9007199254740993\nf: 1e3\no: 0o17\np: 017\nh: 0x1F\nu: 1_000\nn: .nan\nm: -.inf\n"
        "d: 2026-01-02\nt: 12:30:45\ny: yes\nbig: 1e400\nmerge: {<<: {a: 1}, b: 2}\n"
    )
    pair.same(echo, values_files(tmp_path, keys))
    pair.same(echo, values_files(tmp_path, numbers.replace("n: .nan\nm: -.inf\n", "").replace("big: 1e400\n", "")))
    pair.same(echo, values_files(tmp_path, numbers))


def test_null_removes_the_same_values_as_in_helm(pair: Pair, echo: Path, tmp_path: Path) -> None:
    nulls = "{kept: null, gone: {deep: null, new: null}, fresh: null, list: null}"
    answer = pair.same(echo, values_files(tmp_path, nulls))
    assert answer.ok
    assert "kept" not in answer.text
    pair.same(echo, values_files(tmp_path, "{gone: {deep: {x: 1}}}", "{gone: null}", "{gone: {deep: null}}"))


def test_values_files_are_merged_in_order_and_overrides_last(pair: Pair, echo: Path, tmp_path: Path) -> None:
    files = values_files(tmp_path, "{a: {x: 1, y: 1}, b: 1}", "{a: {y: 2}, b: [2]}")
    answer = pair.same(echo, dataclasses.replace(files, overrides={"a": {"z": 3}, "c": "\U0001f600 \u00fc"}))
    assert answer.ok
    assert "\U0001f600" in answer.text
    names = {"b.yaml": "{a: from-b}", "a.yaml": "[", "odd name.yaml": "{a: from-odd}"}
    paths = [write(tmp_path, names) / name for name in names]
    for order in itertools.permutations(paths, 2):
        pair.same(echo, Values.read(order))


def test_overrides_with_any_content_reach_the_templates(pair: Pair, tmp_path: Path) -> None:
    text = '\U0001f600 \u00fc \x00\x7f\x85\ufeff\u2028\uffff \\ud83d\\ude00 "\r\n'
    small = write(tmp_path, {"templates/a.yaml": "{kind: A, hash: {{ .Values.text | sha256sum }}}"})
    answer = pair.same(small, Values(overrides={"text": text}))
    assert hashlib.sha256(text.encode()).hexdigest() in answer.text


@pytest.mark.parametrize("version", ["1.36.4", "v1.34.0-eks-1a2b", "1.35", "1.20.0", "nonsense", "1.36.4+k3s1", ""])
def test_kubernetes_versions_have_the_same_outcome(pair: Pair, tmp_path: Path, version: str) -> None:
    capabilities = (
        "a: {{ .Capabilities | toJson }}\nb: {{ .Capabilities.KubeVersion }}\nc: {{ .Capabilities.HelmVersion }}"
    )
    small = {"Chart.yaml": "{apiVersion: v2, name: small, version: 1.0.0, kubeVersion: '>=1.30.0-0'}"}
    pair.same(write(tmp_path, {**small, "templates/a.yaml": capabilities}), target=Target(kube_version=version))


@pytest.mark.parametrize("given", [(), ("a.io/v1/A",), ("b/v1", "c/v1,d/v1", ""), ('e"/v1',)])
def test_api_versions_have_the_same_outcome(pair: Pair, tmp_path: Path, given: tuple[str, ...]) -> None:
    versions = 'a: {{ .Capabilities.APIVersions | toJson }}\nb: {{ .Capabilities.APIVersions.Has "d/v1" }}'
    pair.same(write(tmp_path, {"templates/a.yaml": versions}), target=Target(api_versions=given))


@pytest.mark.parametrize(
    "target", [Target(release="Bad_Name"), Target(release="x" * 54), Target(release=""), Target(namespace="Any thing")]
)
def test_releases_and_namespaces_have_the_same_outcome(pair: Pair, tmp_path: Path, target: Target) -> None:
    pair.same(write(tmp_path, {"templates/a.yaml": "a: {{ .Release | toJson }}"}), target=target)


TEMPLATES = {
    "fail": 'a: {{ fail "told so" }}',
    "required": 'a: {{ required "no b" .Values.b }}',
    "nil": "a: {{ .Values.b.c }}",
    "unclosed": "a: {{ if true }}",
    "unknown function": "a: {{ nope }}",
    "unknown template": 'a: {{ include "nope" . }}',
    "recursion": '{{ define "r" }}{{ include "r" . }}{{ end }}a: {{ include "r" . }}',
    "no yaml": "a: b: c",
    "no yaml among others": "kind: A\n---\na: [\n---\nkind: B",
    "a list": "- a\n- b",
    "no utf-8": "a: {{ trunc 1 \"\u00fc\" }}",
    "no utf-8 in a comment": "# {{ trunc 1 \"\u00fc\" }}\na: 1",
    "carriage returns": "a: 1\r\nb: {{ \"x\\ry\" }}\r\n",
    "blank": "\n\n{{- /* nothing */ -}}\n",
    "only a comment": "# nothing\n---\n---\n# more",
    "spaces": "\n\n  \na: 1\n\n\n---\n\n\nb: 2\n\n  \n",
    "hook": "kind: Job\nmetadata: {annotations: {helm.sh/hook: 'pre-install,test', helm.sh/hook-weight: '-5'}}",
    "bad hook": "kind: Job\nmetadata: {annotations: {helm.sh/hook: sometimes}}",
    "lookup": 'a: {{ lookup "v1" "Secret" "x" "y" | toJson }} {{ getHostByName "localhost" }}',
    "files": "{{ range $name, $_ := .Files.Glob \"*/*.txt\" }}{{ $name }}: {{ $.Files.Get $name | quote }}\n{{ end }}",
    "tpl": 'a: {{ tpl "{{ .Release.Name }} {{ .Template.Name }} {{ .Chart.Name }}" . }}',
    "set": 'a: {{ set .Values "x" 1 | toJson }} {{ .Chart | toJson }}',
    "panic": "a: {{ repeat -1 \"x\" }}",
}  # fmt: skip


@pytest.mark.parametrize("template", TEMPLATES.values(), ids=TEMPLATES.keys())
def test_failing_and_unusual_templates_have_the_same_outcome(pair: Pair, tmp_path: Path, template: str) -> None:
    files = {
        "templates/a.yaml": template,
        "templates/NOTES.txt": "{{ .Release.Name }} has notes",
        "templates/z/later.yaml": "kind: Namespace\nmetadata: {name: first}",
        "templates/_helpers.tpl": '{{ define "x" }}{{ end }}',
        "files/a.txt": "text\n",
        "crds/crd.yaml": "kind: CustomResourceDefinition",
    }
    pair.same(write(tmp_path, files))


TOGETHER: dict[str, dict[str, str]] = {
    "the last definition of a name counts": {
        "_x.tpl": '{{ define "x" }}from _x.tpl{{ end }}',
        "a.yaml": '{{ define "x" }}from a.yaml{{ end }}a: {{ include "x" . }}',
        "sub/_x.tpl": '{{ define "x" }}from sub/_x.tpl{{ end }}',
        "sub/z.yaml": '{{ define "x" }}from sub/z.yaml{{ end }}b: {{ include "x" . }}',
        "z.yaml": 'c: {{ include "x" . }}',
    },
    "one context for all": {
        "a.yaml": 'a: {{ list .seen (keys .Values | sortAlpha) | toJson }}{{ $_ := set . "seen" .Template.Name }}',
        "b.yaml": 'b: {{ list .seen (keys . | sortAlpha) | toJson }}{{ $_ := set . "seen" .Template.Name }}',
        "c.yaml": 'c: {{ list .seen .Template (printf "%T %T %T" . .Values .Template) | toJson }}',
    },
    "other values for those that follow": {
        "a.yaml": "a: {{ .Values | toJson }}",
        "b.yaml": 'b: {{ .Values | toJson }}{{ $_ := set . "Values" (dict "other" true) }}',
        "c.yaml": "c: {{ .Values | toJson }}",
    },
    "tpl and include see each other": {
        "_x.tpl": '{{ define "x" }}{{ tpl .text . }}{{ end }}{{ define "y" }}y{{ end }}',
        "a.yaml": 'a: {{ include "x" (dict "text" .Values.text) }} {{ include "y" . }}',
    },
}


@pytest.mark.parametrize("templates", TOGETHER.values(), ids=TOGETHER.keys())
def test_templates_that_depend_on_each_other_render_the_same(
    pair: Pair, tmp_path: Path, templates: dict[str, str]
) -> None:
    files = {f"templates/{name}": text for name, text in templates.items()}
    chart = write(tmp_path, {**files, "values.yaml": "text: '{{ define `y` }}own{{ end }}{{ include `y` . }}'"})
    for values in (Values(), Values(overrides={"m": {"x": 2}}), Values()):
        assert pair.same(chart, values).ok


SCHEMA = '{"properties": {"n": {"type": "integer"}}}'
SUB = {
    "Chart.yaml": "{apiVersion: v2, name: m, version: 1.0.0, dependencies: [{name: sub, version: 1.x, condition: on}]}",
    "charts/sub/Chart.yaml": "{apiVersion: v2, name: sub, version: 1.2.3}",
    "charts/sub/values.yaml": "{n: 1, global: {g: sub}}",
    "charts/sub/values.schema.json": SCHEMA,
    "charts/sub/templates/a.yaml": "a: {{ .Values | toJson }}",
    "values.yaml": "{global: {g: parent}}",
}
CHARTS: dict[str, tuple[dict[str, str], dict[str, Any]]] = {
    "no such dependency": ({"Chart.yaml": SUB["Chart.yaml"]}, {}),
    "subchart": (SUB, {}),
    "subchart off": (SUB, {"on": False}),
    "subchart refuses": (SUB, {"sub": {"n": "x"}}),
    "subchart of another type": (SUB, {"sub": 1}),
    "library": ({"Chart.yaml": "{apiVersion: v2, name: small, version: 1.0.0, type: library}"}, {}),
    "deprecated": ({"Chart.yaml": "{apiVersion: v1, name: small, version: 1.0.0, deprecated: true}"}, {}),
    "no version": ({"Chart.yaml": "{apiVersion: v2, name: small}"}, {}),
    "of the future": ({"Chart.yaml": "{apiVersion: v9, name: small, version: 1.0.0}"}, {}),
    "of the next kind": ({"Chart.yaml": "{apiVersion: v3, name: small, version: 1.0.0}"}, {}),
    "bad Chart.yaml": ({"Chart.yaml": "["}, {}),
    "bad values.yaml": ({"values.yaml": "- a"}, {}),
    "schema refuses": ({"values.schema.json": SCHEMA, "templates/a.yaml": "a: 1"}, {"n": "x", "o": 1}),
    "schema accepts": ({"values.schema.json": SCHEMA, "templates/a.yaml": "a: 1"}, {"n": 1}),
    "schema is none": ({"values.schema.json": "{"}, {}),
    "schema breaks its own": ({"values.schema.json": '{"type": "nope"}'}, {}),
    "schema elsewhere": ({"values.schema.json": '{"$ref": "file:///nowhere.json"}'}, {}),
    "schema by name": ({"values.schema.json": '{"$ref": "urn:none"}', "templates/a.yaml": "a: 1"}, {"n": 1}),
    "nothing in it": ({"values.yaml": ""}, {}),
}  # fmt: skip


@pytest.mark.parametrize(("files", "values"), CHARTS.values(), ids=CHARTS.keys())
def test_valid_and_invalid_charts_have_the_same_outcome(
    pair: Pair, tmp_path: Path, files: dict[str, str], values: dict[str, Any]
) -> None:
    small = write(tmp_path, files)
    pair.same(small, Values(overrides=values))
    again = RenderRequest(pair.engine, small, Values(overrides=values))  # the worker may have cached the schema
    assert comparable(pair.worker.submit(again).result()) == comparable(pair.same(small, Values(overrides=values)))


def test_a_missing_chart_has_the_same_error(pair: Pair, tmp_path: Path) -> None:
    assert not pair.same(tmp_path / "nowhere").ok
    assert not pair.same(tmp_path).ok
    assert not pair.same(write(tmp_path, {"a.tgz": "no archive"}) / "a.tgz").ok


def test_a_packed_chart_renders_the_same(pair: Pair, chart: Path, tmp_path: Path) -> None:
    packed = Path(shutil.make_archive(str(tmp_path / "packed"), "gztar", chart.parent, chart.name))
    assert pair.same(packed, Values(overrides={"agents": {"a": {}}})).ok


def test_a_change_of_the_chart_takes_effect_at_once(pair: Pair, tmp_path: Path) -> None:
    write(tmp_path, {"templates/a.yaml": "a: 0"})
    for path in tmp_path.rglob("*"):
        os.utime(path, (1_000_000_000, 1_000_000_000))  # old enough for the cache
    for number in range(5):
        assert f"a: {number}" in pair.same(tmp_path).text
        (tmp_path / "templates" / "a.yaml").write_text(f"a: {number + 1}")
    (tmp_path / "templates" / "b.yaml").write_text("b: 1")
    assert "b: 1" in pair.same(tmp_path).text
    soon = (time.time_ns() + 10**11,) * 2
    for number in range(10, 13):  # within one tick of the file system's clock
        (tmp_path / "templates" / "a.yaml").write_text(f"a: {number}")
        os.utime(tmp_path / "templates" / "a.yaml", ns=soon)
        assert f"a: {number}" in pair.worker.template(RenderRequest(pair.engine, tmp_path))


OVERLAYS: dict[str, dict[str, str | None]] = {
    "a template": {"templates/a.yaml": "changed: {{ .Values.v }}"},
    "another": {"templates/b/new.yaml": "\ufeffnew: {{ .Files.Get \"files/new.txt\" }}", "files/new.txt": "text"},
    "one less": {"templates/a.yaml": None},
    "the defaults": {"values.yaml": "{v: other}"},
    "bad defaults": {"values.yaml": "["},
    "a schema": {"values.schema.json": '{"properties": {"v": {"type": "integer"}}}'},
    "a template that fails": {"templates/a.yaml": "{{ .Values.x.y }}"},
    "Chart.yaml": {"Chart.yaml": "{apiVersion: v2, name: renamed, version: 1.0.0}"},
    "Chart.yaml of the future": {"Chart.yaml": "{apiVersion: v9, name: small, version: 1.0.0}"},
    "a broken Chart.yaml": {"Chart.yaml": "["},
    "what is ignored": {"ci/a.yaml": "x", "templates/x.skip": "a: [", "tests/t/a.txt": "x"},
    "a subchart": {f"charts/sub/{name[11:]}": text for name, text in SUB.items() if name.startswith("charts/sub/")},
}  # fmt: skip


@pytest.mark.parametrize("overlay", OVERLAYS.values(), ids=OVERLAYS.keys())
def test_chart_files_of_a_request_have_the_effect_of_written_files(
    pair: Pair, tmp_path: Path, overlay: dict[str, str | None]
) -> None:
    files = {
        "templates/a.yaml": "a: {{ .Values.v }}",
        "values.yaml": "{v: text}",
        ".helmignore": "ci/\n*.skip\ntests\n",
        "templates/files.yaml": 'files: {{ range $name, $_ := .Files.Glob "**" }}{{ $name }} {{ end }}',
    }
    place = write(tmp_path / "small", files)
    before = pair.same(place)
    request = RenderRequest(pair.engine, place, chart_files=overlay)
    mutant = pair.worker.submit(request).result()
    assert pair.same(place) == before
    for name, text in overlay.items():
        if text is None:
            (place / name).unlink()
        else:
            write(
                place,
                {name: text, **({} if name == "Chart.yaml" else {"Chart.yaml": (place / "Chart.yaml").read_text()})},
            )
    assert mutant == pair.same(place)


def test_a_mutant_of_a_mutant_has_both_changes(worker: RenderWorker, tmp_path: Path) -> None:
    base = WorkerRenderer(worker, write(tmp_path, {"templates/a.yaml": "{kind: A, metadata: {name: a}}"}))
    mutant = base.with_chart_files({"templates/b.yaml": "b"}).with_chart_files({"templates/b.yaml": "b: 1"})
    assert mutant.submit(Values()).result().text.count("# Source") == 2
    assert base.submit(Values()).result().text.count("# Source") == 1


@pytest.mark.parametrize("name", ["/etc/a", "../a", "templates/../a", "a//b", ".", "", ".helmignore"])
def test_a_chart_file_with_an_invalid_path_is_refused(worker: RenderWorker, chart: Path, name: str) -> None:
    with pytest.raises(RenderWorkerError, match="chart file"):
        worker.template(RenderRequest(4, chart, chart_files={name: "x"}))


def test_each_of_two_hundred_parallel_requests_gets_its_own_answer(
    worker: RenderWorker, helm_3: Helm, helm_4: Helm, chart: Path, tmp_path: Path
) -> None:
    small = write(tmp_path, {"templates/a.yaml": "a: {{ .Capabilities.APIVersions | toJson }}"})
    given: list[tuple[Path, dict[str, Any], tuple[str, ...]]]
    given = [(chart, {"agents": {name: {}}}, ()) for name in ("a", "b-1", "Bad_Name", "default")]
    given += [(small, {}, (f"{letter}.io/v1",)) for letter in "abcdefgh"]
    requests = [
        RenderRequest(engine, place, Values(overrides=values), Target(api_versions=versions))
        for engine in ENGINES
        for place, values, versions in given
    ]
    commands = {4: Command(helm_4.path, helm_4.version), 3: Command(helm_3.path, helm_3.version)}
    expected = [commands[each.engine].answer(each.chart, each.values, each.target) for each in requests]
    assert len({answer.text for answer in expected}) > len(given)
    order = [index % len(requests) for index in range(200)]
    random.Random(5).shuffle(order)
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda index: worker.submit(requests[index]).result(), order))
    assert list(map(comparable, answers)) == [comparable(expected[index]) for index in order]


def test_all_requests_to_a_killed_worker_fail_with_its_signal(binary: Path, chart: Path) -> None:
    with RenderWorker(binary) as running:
        request = RenderRequest(4, chart, Values(overrides={"agents": {f"a-{n}": {} for n in range(300)}}))
        assert running.submit(request).result().ok
        asked = [running.submit(request) for _ in range(20)]
        assert running.pid is not None
        os.kill(running.pid, signal.SIGKILL)
        errors = [error for answer in asked if (error := answer.exception(30))]
        assert errors
        assert {(type(error), str(error)) for error in errors} == {
            (RenderWorkerError, "The render worker gave no answer: it ended by itself (killed by SIGKILL).")
        }
        with pytest.raises(RenderWorkerError, match=r"cannot be asked: it ended by itself \(killed by SIGKILL"):
            running.submit(request)


def test_a_closed_worker_has_answered_all_requests_and_refuses_new_requests(binary: Path, chart: Path) -> None:
    with RenderWorker(binary) as running:
        asked = [running.submit(RenderRequest(engine, chart)) for engine in ENGINES * 5]
        pid = running.pid
    assert all(answer.result(0).ok for answer in asked)
    assert pid is not None
    assert not Path(f"/proc/{pid}").exists()
    with pytest.raises(RenderWorkerError, match="it was closed"):
        running.submit(RenderRequest(4, chart))


def test_the_worker_ends_with_the_process_that_started_it(binary: Path) -> None:
    program = (
        "import sys, time; sys.path.append(sys.argv[2])\n"
        "from pathlib import Path; from render_worker import RenderWorker\n"
        "with RenderWorker(Path(sys.argv[1])) as worker: print(worker.pid, flush=True); time.sleep(60)"
    )
    owner = subprocess.Popen(
        [sys.executable, "-c", program, binary, REPOSITORY / "ci"], stdout=subprocess.PIPE, text=True
    )
    assert owner.stdout is not None
    pid = int(owner.stdout.readline())
    assert Path(f"/proc/{pid}").exists()
    owner.kill()
    owner.wait()
    owner.stdout.close()
    assert eventually(lambda: not alive(pid))


def alive(pid: int) -> bool:
    """Whether the process exists. A zombie process counts as ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_an_invalid_request_gets_an_error_and_the_next_request_is_served(binary: Path, chart: Path) -> None:
    good = {"id": 3, "engine": 4, "chart": str(chart), "release": "a", "kubeVersion": "1.36.0", "namespace": "b"}
    lines = ["no json", '{"id": 1, "engine": 2}', '{"id": 2, "engine": 4, "valuse": []}', "", json.dumps(good)]
    process = subprocess.run([binary], input="\n".join(lines), capture_output=True, text=True, check=True, timeout=60)
    answers = {answer["id"]: answer for answer in map(json.loads, process.stdout.splitlines())}
    faults = {number: answers[number]["fault"] for number in (0, 1, 2)}
    assert "no request" in faults[0]
    assert "no Helm 2 in this worker" in faults[1]
    assert "valuse" in faults[2]
    assert answers[3]["ok"]
    assert process.stderr == ""


def test_a_worker_that_cannot_start_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(RenderWorkerError, match=r"No such file.*cannot be started"), RenderWorker(tmp_path / "none"):
        pass
