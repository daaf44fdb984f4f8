"""Values are read as Helm 4 and Helm 3 read them, or refused with one sentence; never read in another way."""

import base64
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from agent_identities.chart.helm import HelmError
from agent_identities.chart.values import Source, Values, with_defaults
from agent_identities.errors import AgentIdentitiesError
from render_worker import RenderRequest, RenderWorker
from support.values_corpus import READ, REFUSED

Reading = Callable[..., Any]

thorough = settings(max_examples=4 * settings().max_examples, deadline=None, suppress_health_check=list(HealthCheck))

PRINT = "kind: Values\njson: {{ .Values | toJson | b64enc }}\n"
DEFAULTS = "{kept: 1, map: {deep: 2, other: {x: 1}}, list: [1, null], text: x}"


def chart_in(folder: Path, defaults: str) -> Path:
    for name, text in {
        "Chart.yaml": "{apiVersion: v2, name: reader, version: 1.0.0}",
        "values.yaml": defaults,
        "templates/values.yaml": PRINT,
    }.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


@pytest.fixture(scope="session")
def helm_reads(render_worker: RenderWorker, tmp_path_factory: pytest.TempPathFactory) -> Reading:
    """What the templates of both Helms see of values files, as JSON; a text where both refuse them."""
    charts = {defaults: chart_in(tmp_path_factory.mktemp("reader"), defaults) for defaults in ("{}", DEFAULTS)}

    def read(*texts: str, defaults: str = "{}") -> Any:
        values = Values(tuple(Source(f"values-{number}.yaml", text) for number, text in enumerate(texts)))
        found: list[Any] = []
        for engine in (4, 3):
            try:
                printed = render_worker.template(RenderRequest(engine, charts[defaults], values))
                found.append(json.loads(base64.b64decode(re.findall(r"json: (\S*)", printed)[0]), parse_int=number))
            except HelmError as error:
                found.append(str(error))
        if all(isinstance(each, str) for each in found):
            return found[0]
        assert exact(found[0]) == exact(found[1]), "the two Helms read it differently, so it must be refused"
        return found[0]

    return read


def number(digits: str) -> int:
    """Go prints the shortest digits that are read as the same float again."""
    return int(float(digits))


def exact(value: Any) -> str:
    """A text that is the same only for the same JSON: true is not 1, but 1.0 is."""

    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: plain(item) for key, item in value.items()}
        if isinstance(value, list):
            return [plain(item) for item in value]
        return int(value) if isinstance(value, float) and value.is_integer() else value

    return json.dumps(plain(value), sort_keys=True)


def refusal(text: str) -> str | None:
    """The sentence with which a values file is refused; None if it is read."""
    try:
        Source("values.yaml", text).content  # noqa: B018  # reading is what may fail
    except AgentIdentitiesError as error:
        return str(error)
    return None


def is_one_sentence_with_its_place(message: str) -> bool:
    return (
        re.fullmatch(r"values\.yaml(:\d+(:\d+)?)?: \S[^\n]*\. [A-Z`][^\n]*\.|.*such as `agents: \{\}`\.", message)
        is not None
    )


@pytest.mark.parametrize("text", READ, ids=lambda text: repr(text[:40]))
def test_what_both_helms_read_is_read_as_they_do(helm_reads: Reading, text: str) -> None:
    assert exact(Source("values.yaml", text.removeprefix("\ufeff")).content) == exact(helm_reads(text))


@pytest.mark.parametrize("text", REFUSED, ids=lambda text: repr(text[:40]))
def test_what_is_refused_is_refused_with_one_sentence(text: str) -> None:
    message = refusal(text)
    assert message is not None
    assert is_one_sentence_with_its_place(message), message


SCALARS = st.sampled_from(
    [
        "a",
        "b",
        "yes",
        "no",
        "on",
        "~",
        "null",
        "1",
        "0",
        "-1",
        "0x1F",
        "017",
        "0o17",
        "1_0",
        "1.5",
        "1e3",
        ".5",
        ".5_0",
        "2020-01-01",
        "12:30",
        "<<",
        "''",
        "'",
        "'",
        "'x'",
        "'yes'",
        '"1"',
        '"\\u00e9"',
        "ü",
        "x:y",
        "a#b",
        "a,b",
        "-a",
        ":a",
        "a:",
        "?",
        "-",
        ".",
        "+1",
        "+.5",
        "0b-1",
        "1e400",
        "9007199254740993",
        ".inf",
        "&c",
        "!d",
        "@e",
        "%f",
        "`g",
        "|h",
        ">i",
    ]
)
TAGS = st.sampled_from(["", "", "", "", "!!str ", "!!int ", "!!float ", "!!bool ", "!!null ", "!x ", "! ", "!!map "])


def flow(children: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    keys = st.sampled_from(["a", "b", "c", "<<", "'<<'", "1", "no", "x y", '"q"', "? d"])
    entries = st.lists(st.tuples(keys, children), max_size=3, unique_by=lambda entry: entry[0])
    mappings = entries.map(lambda found: "{" + ", ".join(f"{key}: {value}" for key, value in found) + "}")
    lists = st.lists(children, max_size=3).map(lambda items: "[" + ", ".join(items) + "]")
    return st.tuples(TAGS, mappings | lists).map("".join)


ALIASES = st.sampled_from(["*scalar", "*list", "*map", "*merged", "*last"])
VALUES = st.recursive(st.tuples(TAGS, SCALARS).map("".join) | ALIASES, flow, max_leaves=6)
FIRST = """\
first: &scalar 12
second: &list [&last x, {y1: *scalar}]
third: &map {a: 1, b: {c: *list}}
fourth: &merged {<<: *map, d: 5}
"""
DOCUMENTS = st.lists(
    st.tuples(st.sampled_from(["a", "b", "c", "'d'", "<<", "1", "? e\n", "&f f", "g h", "*last "]), VALUES),
    min_size=1,
    max_size=5,
    unique_by=lambda entry: entry[0],
).map(lambda entries: FIRST + "\n".join(f"{key}: {value}" for key, value in entries))
"""Documents of a few odd keys and values, with anchors for them to use."""

CHARACTERS = st.lists(
    st.sampled_from(
        [
            *"ab1:-,[]{}'\"#!|>%@`\t \\~\u00e9\x85\u2028=?*&",
            *(
                ": ",
                "\n",
                "\n  ",
                "\n    ",
                "- ",
                "? ",
                ", ",
                " #",
                "&a ",
                "*a",
                "!!str ",
                "|-\n",
                "<<: ",
                "---\n",
                "...\n",
                "\r\n",
            ),
        ]
    ),
    max_size=6,
).map("".join)
SOUP = st.lists(CHARACTERS, min_size=1, max_size=3).map(
    lambda found: "\n".join(f"k{number}: {text}" for number, text in enumerate(found))
)
"""A few lines that are almost YAML."""


def read_as_helm_or_refused(helm_reads: Reading, text: str) -> None:
    message = refusal(text)
    if message is None:
        assert exact(Source("values.yaml", text).content) == exact(helm_reads(text))
    else:
        assert is_one_sentence_with_its_place(message), message


@thorough
@given(text=DOCUMENTS)
def test_a_generated_document_is_read_as_helm_does_or_refused(helm_reads: Reading, text: str) -> None:
    read_as_helm_or_refused(helm_reads, text)


@thorough
@given(text=SOUP)
def test_characters_in_any_order_are_read_as_helm_does_or_refused(helm_reads: Reading, text: str) -> None:
    read_as_helm_or_refused(helm_reads, text)


NESTED = st.recursive(
    st.sampled_from([None, 1, "x", True, [1], []]),
    lambda below: st.dictionaries(
        st.sampled_from(["kept", "map", "list", "text", "deep", "other", "new"]), below, max_size=3
    ),
    max_leaves=6,
)


@thorough
@given(
    texts=st.lists(
        st.dictionaries(st.sampled_from(["kept", "map", "list", "text", "new"]), NESTED, max_size=4).map(json.dumps),
        max_size=3,
    )
)
@example(texts=['{"map": null}', '{"map": {"deep": null}}'])
def test_files_are_merged_as_helm_merges_them(helm_reads: Reading, texts: list[str]) -> None:
    values = Values(tuple(Source(f"{number}.yaml", text) for number, text in enumerate(texts)))
    merged = with_defaults(values.given, Source("values.yaml", DEFAULTS).content)
    assert exact(merged) == exact(helm_reads(*texts, defaults=DEFAULTS))
