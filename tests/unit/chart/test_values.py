import os
import threading
from pathlib import Path
from typing import Any

import pytest

from agent_identities.chart import values, yaml
from agent_identities.chart.helm import Renderer


def problems(chart: Path, overrides: dict[str, Any]) -> str:
    with pytest.raises(values.ValuesError) as error:
        values.load(chart, overrides=overrides)
    return str(error.value)


def test_maps_of_two_files_merge_and_lists_replace(tmp_path: Path, chart: Path) -> None:
    first, second = tmp_path / "first.yaml", tmp_path / "second.yaml"
    first.write_text("agents: {a: {tiers: [proxy]}, b: {}}")
    second.write_text("agents: {a: {tiers: []}, c: {}}")
    assert values.load(chart, [first, second])["agents"] == {"a": {"tiers": []}, "b": {}, "c": {}}


def test_null_removes_an_agent_of_an_earlier_file(tmp_path: Path, chart: Path) -> None:
    first, second = tmp_path / "first.yaml", tmp_path / "second.yaml"
    first.write_text("agents: {a: {}, b: {}}")
    second.write_text("agents: {a: null}")
    agents = values.load(chart, [first, second])["agents"]
    assert {name for name, agent in agents.items() if agent is not None} == {"b"}


def test_null_for_a_default_of_the_chart_is_the_default(chart: Path) -> None:
    given = {"global": None, "proxy": {"rules": None}, "guards": None, "network": {"dns": {"ports": None}}}
    assert values.load(chart, overrides=given) == values.load(chart)


def test_null_takes_back_what_an_earlier_file_sets(tmp_path: Path, chart: Path) -> None:
    first, second = tmp_path / "first.yaml", tmp_path / "second.yaml"
    first.write_text("agents: {a: {tiers: [], token: {expirationSeconds: 900}, labels: {x: y}}}\n")
    second.write_text("agents: {a: {tiers: null, token: null, labels: {x: null}}}\n")
    assert values.load(chart, [first, second])["agents"] == {"a": {"labels": {}}}


def test_a_label_of_the_dns_pods_can_be_removed(chart: Path) -> None:
    given = {"network": {"dns": {"podLabels": {"k8s-app": None, "app": "dns"}}}}
    assert values.load(chart, overrides=given)["network"]["dns"]["podLabels"] == {"app": "dns"}


@pytest.mark.parametrize("section", ["agents", "tiers"])
def test_enabled_false_removes_an_entry(chart: Path, section: str) -> None:
    rules = {"rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}]} if section == "tiers" else {}
    given = {section: {"a": rules | {"enabled": False}, "b": rules | {"enabled": True}, "c": rules | {"enabled": None}}}
    assert set(values.load(chart, overrides=given)[section]) == {"b", "c"}


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"agnts": {}}, "agnts: there is no key 'agnts' here. Did you mean 'agents'?"),
        ({"agents": {"a": {"teirs": []}}}, "agents.a.teirs: there is no key 'teirs' here. Did you mean 'tiers'?"),
        ({"agents": {"Bad_Name": {}}}, "agents.Bad_Name: 'Bad_Name' is not a DNS label"),
        (
            {"agents": {"a": {"token": {"expirationSeconds": 60}}}},
            "expirationSeconds: is 60; the minimum is 600",
        ),
        ({"agents": {"a": {"instances": "3"}}}, 'agents.a.instances: is text ("3") where an integer is expected'),
        ({"agents": {"a": {"workload": {}}}}, "agents.a.workload: lacks image"),
        ({"agents": {"a": {"tiers": ["t", "t"]}}}, "agents.a.tiers: names one entry twice"),
        ({"tiers": {"t": {"rules": []}}}, "tiers.t.rules: is empty"),
        ({"agents": {"a": {"token": {"mode": "x"}}}}, 'agents.a.token.mode: is "x"; use one of projected, automount'),
    ],
)
def test_the_error_for_a_schema_violation_has_path_and_remediation(
    chart: Path, overrides: dict[str, Any], message: str
) -> None:
    assert message in problems(chart, overrides)


def test_one_message_lists_all_problems(chart: Path) -> None:
    text = problems(chart, {"agnts": {}, "agents": {"Bad_Name": {}}})
    assert "2 problems" in text
    assert "agnts" in text
    assert "Bad_Name" in text


def test_a_problem_names_the_file_and_the_line_that_set_the_value(tmp_path: Path, chart: Path) -> None:
    first, second = tmp_path / "first.yaml", tmp_path / "second.yaml"
    first.write_text("agents:\n  a:\n    instances: -1\n    tiers: [proxy]\n")
    second.write_text("# more\nagents: {a: {tiers: 5, teirs: []}}\n")
    with pytest.raises(values.ValuesError) as error:
        values.load(chart, [first, second])
    assert str(error.value).splitlines() == [
        f"{first}, {second}: 3 problems in the values:",
        f"  {first}:3:16: agents.a.instances: is -1; the minimum is 0.",
        f"  {second}:2:21: agents.a.tiers: is a number (5) where a list is expected.",
        f"  {second}:2:24: agents.a.teirs: there is no key 'teirs' here. Did you mean 'tiers'?",
    ]


RULES = "{rules: [{apiGroups: [''], resources: [pods], verbs: [get]}]}"


def test_an_unknown_tier_is_refused_with_its_file_and_line(tmp_path: Path, chart: Path) -> None:
    (tmp_path / "v.yaml").write_text(
        f"tiers: {{pod-reader: {RULES}, gone: null}}\n"
        "agents:\n  a: {tiers: [proxy, podreader]}\n  b: {namespaces: {team: [gone]}}\n  c: {tiers: [pod-reader]}\n"
    )
    (tmp_path / "earlier.yaml").write_text(f"tiers: {{gone: {RULES}}}\n")
    with pytest.raises(values.ValuesError) as error:
        values.load(chart, [tmp_path / "earlier.yaml", tmp_path / "v.yaml"])
    first, second = str(error.value).splitlines()[1:]
    place = f"  {tmp_path}/v.yaml"
    assert first.startswith(
        f"{place}:3:22: agents.a.tiers[1]: there is no tier 'podreader'. Did you mean 'pod-reader'?"
    )
    assert second.startswith(
        f"{place}:4:27: agents.b.namespaces.team[0]: there is no tier 'gone'. Known tiers: pod-reader,"
    )


def test_keys_for_anchors_are_allowed_at_the_top(tmp_path: Path, chart: Path) -> None:
    (tmp_path / "v.yaml").write_text("x-reader: &reader {tiers: [proxy], z: null}\nagents: {one: {tiers: [proxy]}}\n")
    assert values.load(chart, [tmp_path / "v.yaml"])["agents"] == {"one": {"tiers": ["proxy"]}}
    (tmp_path / "v.yaml").write_text("agents: {one: {x-reader: 1}}\n")
    with pytest.raises(values.ValuesError, match=r"v\.yaml:1:16: agents\.one\.x-reader: there is no key"):
        values.load(chart, [tmp_path / "v.yaml"])


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("agents.triage", "agents:\n  triage:\n"),
        ("tiers.triage", "tiers:\n  triage:\n"),
        ("agents.a.tokens.triage", "agents: {a: {tokens: {\n  triage: }}}\n"),
        ("network.destinations.triage", "network: {destinations: {\n  triage: }}\n"),
        ("network.sources.triage", "network: {sources: {\n  triage: }}\n"),
        ("workloadDefaults.runAsUser", "workloadDefaults: {\n  runAsUser: }\n"),
        ("agents.a.tiers", "agents: {a: {\n  tiers: }}\n"),
        ("agents.a.namespaces.triage", "agents: {a: {namespaces: {\n  triage: }}}\n"),
    ],
)
def test_null_that_removes_nothing_is_found_with_its_place(tmp_path: Path, path: str, text: str) -> None:
    (tmp_path / "v.yaml").write_text(text)
    (idle,) = values.Values.read([tmp_path / "v.yaml"]).idle_nulls
    assert (idle.path, idle.place) == (path, f"{tmp_path}/v.yaml:2:3")


def test_the_example_of_a_null_that_removes_nothing_is_accepted(
    tmp_path: Path, chart: Path, renderer: Renderer
) -> None:
    names = ["agents: {a: {tiers: , namespaces: {team-a: }, tokens: {vault: }}, b: }", "tiers: {t: }"]
    (tmp_path / "v.yaml").write_text("\n".join([*names, "network: {destinations: {d: }, sources: {s: }}"]))
    given = values.Values.read([tmp_path / "v.yaml"])
    assert len(given.idle_nulls) == 7
    pasted: dict[str, Any] = {}
    for idle in given.idle_nulls:
        *above, key = idle.path.split(".")
        at = pasted
        for step in above:
            at = at.setdefault(step, {})
        at[key] = yaml.load(f"x: {idle.example}", name="example")["x"]
    found = values.Values.read([tmp_path / "v.yaml"], pasted)
    assert found.idle_nulls == ()
    assert renderer.render(found).objects.find("ServiceAccount", "b")


def test_a_pattern_is_explained(chart: Path) -> None:
    message = problems(chart, {"network": {"destinations": {"d": {"to": [{"fqdn": "API.example.com"}], "ports": []}}}})
    assert "Expected: Host name outside the cluster, in lower case" in message


def test_a_null_in_a_list_is_named_once(chart: Path) -> None:
    assert "agents.a.tiers[0]: is nothing (null) where text" in problems(chart, {"agents": {"a": {"tiers": [None]}}})


def test_null_that_removes_an_entry_is_not_idle(tmp_path: Path) -> None:
    (tmp_path / "first.yaml").write_text("agents: {a: {}}\n")
    (tmp_path / "second.yaml").write_text("agents: {a: null}\n")
    assert values.Values.read([tmp_path / "first.yaml", tmp_path / "second.yaml"]).idle_nulls == ()
    assert values.Values.read([tmp_path / "second.yaml", tmp_path / "first.yaml"]).idle_nulls == ()
    assert values.Values.read([tmp_path / "second.yaml"], {"agents": {"a": {}}}).idle_nulls == ()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"- a", "v.yaml: is a list where a mapping is expected"),
        (b"text", "v.yaml: is text where a mapping is expected"),
        (b"a: 1\nb: \xff", "v.yaml:2:4: is not UTF-8 text (byte 0xff)"),
        ("a: 1".encode("utf-16"), "v.yaml: is UTF-16, which Helm 4 refuses. Save the file as UTF-8."),
        (b"%YAML 1.1\n---\na: 1", "v.yaml: begins with a YAML directive (%), which Helm 4 refuses. Remove the line."),
    ],
)
def test_a_file_that_holds_no_values_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "v.yaml").write_bytes(content)
    with pytest.raises(values.ValuesError) as error:
        values.read(tmp_path / "v.yaml")
    assert str(error.value).removeprefix(f"{tmp_path}/").startswith(message)


def test_a_byte_order_mark_is_not_part_of_the_text(tmp_path: Path) -> None:
    (tmp_path / "v.yaml").write_bytes(b"\xef\xbb\xbfa: 1")
    assert values.read(tmp_path / "v.yaml") == {"a": 1}


def test_numbers_are_floats_of_64_bits_as_in_helm(tmp_path: Path) -> None:
    (tmp_path / "v.yaml").write_text("a: [9007199254740993, 1]")
    assert values.read(tmp_path / "v.yaml") == {"a": [9007199254740992, 1]}


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("nowhere.yaml", "nowhere.yaml: No such file or directory. Name a values file"),
        (".", ".: is a directory. Name a values file"),
        ("https://example.org/values.yaml", "https:/example.org/values.yaml: No such file or directory. URLs are not"),
    ],
)
def test_a_file_that_cannot_be_read_is_named(path: str, message: str) -> None:
    with pytest.raises(values.ValuesError) as error:
        values.Values.read([Path(path)])
    assert str(error.value).startswith(message)


def test_an_endless_file_is_refused() -> None:
    with pytest.raises(values.ValuesError, match="/dev/zero: File too large"):
        values.Values.read([Path("/dev/zero")])


def test_an_empty_pipe_is_refused_and_an_empty_file_is_not(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=lambda: pipe.write_bytes(b""))
    writer.start()
    with pytest.raises(values.ValuesError, match=r"pipe: is empty\. Did the command that writes the values fail\?"):
        values.Values.read([pipe])
    writer.join()
    (tmp_path / "empty.yaml").touch()
    assert values.Values.read([tmp_path / "empty.yaml"]).given == {}


def test_stdin_is_read_once() -> None:
    with pytest.raises(values.ValuesError, match="given twice"):
        values.Values.read([Path("-"), Path("-")])


def test_values_are_read_once_and_show_no_secret(tmp_path: Path, chart: Path) -> None:
    file = tmp_path / "v.yaml"
    file.write_text("agents: {a: {annotations: {note: hidden}}}")
    given = values.Values.read([file])
    file.unlink()
    assert given.merged(chart)["agents"] == {"a": {"annotations": {"note": "hidden"}}}
    assert "hidden" not in repr(given)
