"""One line or word of a template changed, and where its blocks are."""

import re

import pytest

from mutation import template_mutants
from mutation.blocks import blocks
from mutation.coverage import around, branches, first_reached, probed

TEMPLATE = """\
{{- /* A comment, with {{ braces }} and an {{- end }} */}}
{{- range $name, $agent := .agents }}
name: {{ $name | quote }}
{{- if and .on (not .off) }}
verbs: [get, list]
{{- else }}
fail: {{ fail "no {{- end }} here" }}
{{- end }}
{{- end }}
"""


def mutated(text: str) -> dict[str, str]:
    """Operator and line -> what the mutant says, whole."""
    return {mutant.id.removeprefix("t.yaml: "): mutant.text for mutant in template_mutants("t.yaml", text)}


def test_braces_in_comments_and_texts_are_no_blocks() -> None:
    assert [block.opening.keyword for block in blocks(TEMPLATE)] == ["range", "if"]


@pytest.mark.parametrize("text", ["{{ if .a }}", "{{ end }}", "{{ else }}", "{{ range .a }}{{ end }}{{ end }}"])
def test_blocks_that_do_not_nest_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"no end|no block"):
        blocks(text)


def test_every_mutant_is_another_text_and_has_an_id_of_its_own() -> None:
    found = list(template_mutants("t.yaml", TEMPLATE))
    assert len({mutant.text for mutant in found} | {TEMPLATE}) == len(found) + 1
    assert len({mutant.id for mutant in found}) == len(found)
    for mutant in found:
        blocks(mutant.text)  # still a template


def test_each_operator_does_what_its_name_says() -> None:
    found = mutated(TEMPLATE)
    condition = "{{- if and .on (not .off) }}"
    for title, old, new in (
        ("drop line: name: {{ $name | quote }}", "name: {{ $name | quote }}\n", ""),
        ("drop function: name: {{ $name | quote }} [| quote -> ]", " | quote", ""),
        (
            f"negate: {condition} [if and .on (not .off) -> if not (and .on (not .off))]",
            "if and .on (not .off)",
            "if not (and .on (not .off))",
        ),
        (f"always: {condition} [if and .on (not .off) -> if true]", "if and .on (not .off)", "if true"),
        (f"never: {condition} [if and .on (not .off) -> if false]", "if and .on (not .off)", "if false"),
        (f"swap: {condition} [and -> or]", "and .on", "or .on"),
        ("drop item: verbs: [get, list] [[get, list] -> [list]]", "[get, list]", "[list]"),
    ):
        wanted = TEMPLATE.replace(old, new, 1)
        assert wanted in found.values(), title


def test_ids_survive_lines_that_come_before() -> None:
    later = "first: line\n" + TEMPLATE
    assert mutated(TEMPLATE).keys() <= mutated(later).keys()


def test_the_same_line_again_is_numbered() -> None:
    assert {"drop line: a: 1", "drop line: a: 1 #2"} <= mutated("a: 1\nb: 2\na: 1\n").keys()


def test_comments_of_yaml_have_no_mutants() -> None:
    assert not mutated("# name: true\n")


def test_each_branch_gets_a_probe_of_its_own() -> None:
    found = list(branches("t.yaml", TEMPLATE))
    assert [(one.line, one.code.split()[0]) for one in found] == [(1, "the"), (2, "range"), (4, "if"), (6, "else")]
    probes = re.findall(r'fail "(probe [^"]*)"', probed(TEMPLATE, found))
    reached = [first_reached(f"Error: execution error at (t.yaml:2:9): {probe}") for probe in probes]
    assert reached == [("t.yaml", one.start) for one in found]
    assert first_reached("another problem") is None


def test_a_file_of_definitions_is_no_branch_itself() -> None:
    assert [one.code for one in branches("_t.tpl", '{{ define "a" }}x{{ end }}')] == ['define "a"']


def test_a_part_of_a_template_is_in_the_innermost_branch_around_it() -> None:
    found = list(branches("t.yaml", TEMPLATE))
    inside = TEMPLATE.index("get")
    assert around(found, inside, inside + 1) == found[2]
    assert around(found, inside, TEMPLATE.index("fail: ")) == found[1]
    assert around(found[1:], 0, 1) is None
