"""Mutants of templates: a line or a word is changed. The blocks of a template."""

import re

import pytest

from mutation import template_mutants
from mutation.blocks import blocks
from mutation.coverage import around, branches, first_reached, marked

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
    """Id without the file -> the text of the mutant."""
    return {mutant.id.removeprefix("t.yaml: "): mutant.text for mutant in template_mutants("t.yaml", text)}


def test_braces_in_comments_and_strings_are_not_blocks() -> None:
    assert [block.opening.keyword for block in blocks(TEMPLATE)] == ["range", "if"]


@pytest.mark.parametrize("text", ["{{ if .a }}", "{{ end }}", "{{ else }}", "{{ range .a }}{{ end }}{{ end }}"])
def test_blocks_that_do_not_nest_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"no end|no block"):
        blocks(text)


def test_every_mutant_has_its_own_text_and_its_own_id() -> None:
    found = list(template_mutants("t.yaml", TEMPLATE))
    assert len({mutant.text for mutant in found} | {TEMPLATE}) == len(found) + 1
    assert len({mutant.id for mutant in found}) == len(found)
    for mutant in found:
        blocks(mutant.text)  # still a template


CONDITION = "if and .on (not .off)"


@pytest.mark.parametrize(
    ("id_", "old", "new"),
    [
        ("drop line: name: {{$1 | quote}}", "name: {{ $name | quote }}\n", ""),
        ("drop function: $1 | quote [| quote -> ]", " | quote", ""),
        (f"negate: {CONDITION}", CONDITION, "if not (and .on (not .off))"),
        (f"always: {CONDITION}", CONDITION, "if true"),
        (f"never: {CONDITION}", CONDITION, "if false"),
        (f"swap: {CONDITION} [and -> or]", "and .on", "or .on"),
        ("drop item: verbs: [get, list] [[get, list] -> [list]]", "[get, list]", "[list]"),
        ("only the first: range $1, $2 := .agents", "{{- end }}\n{{- end }}", "{{- end }}\n{{ break }}{{- end }}"),
        (f"empty else: {CONDITION}", '\nfail: {{ fail "no {{- end }} here" }}\n', ""),
    ],
)
def test_each_operator_makes_the_change_of_its_name(id_: str, old: str, new: str) -> None:
    assert mutated(TEMPLATE)[id_] == TEMPLATE.replace(old, new, 1)


DEFINED = """\
{{- define "agent-identities.validate" -}}
{{- range $index, $tier := .tiers }}
{{- if eq $tier.scope "Cluster" }}{{ include "agent-identities.problem" (list $ (printf "tiers[%d]" $index) (printf "has the name %q. Remove it." $tier.name)) }}{{ end }}
{{- end }}
{{- end }}
"""  # noqa: E501  # as templates are
HEAD = '{{- define "agent-identities.validate" -}}\n'
SAME_MEANING = {
    "another line before": (HEAD, HEAD + "{{- $x := 1 }}\n"),
    "another define before": (HEAD, '{{ define "y" }}a: 1{{ end }}\n' + HEAD),
    "a renamed variable": ("$tier", "$each"),
    "another renamed variable": ("$index", "$number"),
    "reformatted": ('{{- if eq $tier.scope "Cluster" }}', '    {{-   if eq $tier.scope   "Cluster" -}}'),
    "a reworded message": ("has the name %q. Remove it.", "uses the reserved name %q. Choose another name."),
}


@pytest.mark.parametrize(("old", "new"), SAME_MEANING.values(), ids=SAME_MEANING.keys())
def test_an_edit_that_does_not_change_an_action_keeps_its_ids(old: str, new: str) -> None:
    edited = DEFINED.replace(old, new)
    assert edited != DEFINED
    assert mutated(DEFINED).keys() <= mutated(edited).keys()


def test_an_id_has_the_define_and_the_changed_action() -> None:
    assert {
        't.yaml validate: other word: if eq $1.scope "Cluster" ["Cluster" -> "Clusterx"]',
        "t.yaml validate: only the first: range $1, $2 := .tiers",
        't.yaml validate: empty: define "agent-identities.validate"',
    } <= mutated(DEFINED).keys()


def test_mutants_of_a_message_remove_its_remediation_and_change_no_word() -> None:
    cut = [text for id_, text in mutated(DEFINED).items() if "has the name" not in text or "Remove" not in text]
    assert any('"has the name %q"' in text for text in cut)
    assert not any("Remove it.x" in text for text in mutated(DEFINED).values())


def test_equal_actions_in_one_define_are_numbered() -> None:
    assert {"drop line: a: 1", "drop line: a: 1 #2"} <= mutated("a: 1\nb: 2\na: 1\n").keys()
    two = '{{ define "x" }}\na: 1\n{{ end }}{{ define "y" }}\na: 1\n{{ end }}'
    assert {"t.yaml x: drop line: a: 1", "t.yaml y: drop line: a: 1"} <= mutated(two).keys()


def test_comments_of_yaml_have_no_mutants() -> None:
    assert not mutated("# name: true\n")


def test_each_branch_has_its_own_probe() -> None:
    found = list(branches("t.yaml", TEMPLATE))
    assert [(one.line, one.code.split()[0]) for one in found] == [(1, "the"), (2, "range"), (4, "if"), (6, "else")]
    markers = re.findall(r'fail "(marker [^"]*)"', marked(TEMPLATE, found))
    reached = [first_reached(f"Error: execution error at (t.yaml:2:9): {marker}") for marker in markers]
    assert reached == [("t.yaml", one.start) for one in found]
    assert first_reached("another problem") is None


def test_a_file_with_only_defines_is_not_a_branch() -> None:
    assert [one.code for one in branches("_t.tpl", '{{ define "a" }}x{{ end }}')] == ['define "a"']


def test_a_part_of_a_template_belongs_to_the_innermost_branch() -> None:
    found = list(branches("t.yaml", TEMPLATE))
    inside = TEMPLATE.index("get")
    assert around(found, inside, inside + 1) == found[2]
    assert around(found, inside, TEMPLATE.index("fail: ")) == found[1]
    assert around(found[1:], 0, 1) is None
