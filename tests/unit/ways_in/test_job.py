"""The command ways-in: dumps as kubectl prints them, and files that are no dump."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import agent_identities as ai
from agent_identities.cli import app
from agent_identities.ways_in.dump import DumpError

RBAC = "rbac.authorization.k8s.io/v1"
ROLE = {
    "apiVersion": RBAC,
    "kind": "Role",
    "metadata": {"name": "r", "namespace": "agent-system"},
    "rules": [{"apiGroups": [""], "resources": ["serviceaccounts"], "verbs": ["impersonate"]}],
}
BINDING = {
    "apiVersion": RBAC,
    "kind": "RoleBinding",
    "metadata": {"name": "r", "namespace": "agent-system"},
    "roleRef": {"kind": "Role", "name": "r"},
    "subjects": [{"kind": "User", "name": "eve"}],
}
LIST = {"apiVersion": "v1", "kind": "List", "items": [ROLE, BINDING]}
TYPED = [
    {"apiVersion": RBAC, "kind": "RoleList", "items": [{k: v for k, v in ROLE.items() if k in ("metadata", "rules")}]},
    {
        "apiVersion": RBAC,
        "kind": "RoleBindingList",
        "items": [{k: BINDING[k] for k in ("metadata", "roleRef", "subjects")}],
    },
]


@pytest.fixture
def values(tmp_path: Path) -> Path:
    path = tmp_path / "values.yaml"
    path.write_text("agents: {a: {}, b: {}}\n")
    return path


def run(*arguments: object, text: str = "") -> Any:
    return CliRunner().invoke(app, ["ways-in", *map(str, arguments)], input=text)


def yaml_of(document: Any) -> str:
    """Block YAML for the outside, flow for the rest."""
    return f"apiVersion: v1\nkind: List\nitems: {json.dumps(document['items'])}\n"


@pytest.mark.parametrize(
    "text",
    [
        json.dumps(LIST),
        "\ufeff" + json.dumps(LIST, indent=4),
        yaml_of(LIST),
        "".join(f"---\n{json.dumps(each)}\n" for each in (ROLE, BINDING)),
        "".join(f"---\n{json.dumps(each)}\n" for each in TYPED),
    ],
    ids=["json", "byte order mark", "yaml", "documents", "typed lists"],
)
def test_each_form_of_a_dump_is_read(tmp_path: Path, values: Path, text: str) -> None:
    dump = tmp_path / "dump"
    dump.write_text(text, encoding="utf-8")
    done = run(dump, "-f", values, "-o", "json")
    assert done.exit_code == 1, done.output
    (found,) = json.loads(done.output)["canBecome"]
    assert (found["subject"]["name"], found["way"], found["state"]) == ("eve", "impersonate", "open")


def test_the_dump_can_come_from_stdin_and_a_trusted_subject_makes_it_clean(values: Path) -> None:
    assert run("-", "-f", values, text=json.dumps(LIST)).exit_code == 1
    values.write_text("agents: {a: {}}\ntrustedSubjects: [{kind: User, name: eve, reason: debugs agents}]\n")
    done = run("-", "-f", values, "--output", "json", text=json.dumps(LIST))
    assert done.exit_code == 0
    assert {each["state"] for each in json.loads(done.output)["canBecome"]} == {"trusted"}


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "no RoleBinding"),
        (b"[]", "not a Kubernetes object"),
        (b"{}", "no RoleBinding"),
        (json.dumps(ROLE).encode(), "no RoleBinding"),
        (json.dumps(LIST).encode()[:-9], "not complete JSON"),
        (b"\xff\xfe\x00", "not UTF-8"),
        (b"just a text", "not a Kubernetes object"),
        (json.dumps({**LIST, "items": ["x"]}).encode(), "not a Kubernetes object"),
    ],
)
def test_a_file_that_is_no_dump_is_one_error_with_the_command_that_makes_one(
    tmp_path: Path, values: Path, content: bytes, says: str
) -> None:
    dump = tmp_path / "dump"
    dump.write_bytes(content)
    with pytest.raises(DumpError, match=says) as raised:
        ai.ways_in(ai.load(values), dump)
    assert str(dump) in str(raised.value)
    assert "kubectl get" in str(raised.value)


def test_a_binding_that_no_api_server_stores_is_one_error_with_its_name(tmp_path: Path, values: Path) -> None:
    dump = tmp_path / "dump"
    dump.write_text(json.dumps({**LIST, "items": [{**BINDING, "roleRef": None}]}))
    with pytest.raises(ai.AgentIdentitiesError, match="RoleBinding r"):
        ai.ways_in(ai.load(values), dump)


def test_a_dump_that_is_not_there_is_an_error(values: Path) -> None:
    with pytest.raises(DumpError, match=r"missing\.json"):
        ai.ways_in(ai.load(values), Path("missing.json"))


OWN = {
    "apiVersion": RBAC,
    "kind": "RoleBinding",
    "metadata": {
        "name": "agent-proxy-binding",
        "namespace": "agent-system",
        "labels": {"app.kubernetes.io/name": "agent-identities", "agent-identities/tier": "proxy"},
        "annotations": {"meta.helm.sh/release-name": "agents", "meta.helm.sh/release-namespace": "home"},
    },
    "roleRef": {"kind": "Role", "name": "agent-proxy-role"},
    "subjects": [{"kind": "ServiceAccount", "name": "agent-proxy", "namespace": "agent-system"}],
}


@pytest.mark.parametrize("namespace", ["agent-system", "home"])
def test_the_dump_says_where_the_release_and_its_agents_are(tmp_path: Path, values: Path, namespace: str) -> None:
    """Without namespaceOverride in the values, after `helm install --set namespaceOverride=agent-system -n home`."""
    record = {"apiGroups": [""], "resources": ["secrets"], "verbs": ["create"]}
    there = {"name": "r", "namespace": "home"}
    items = [ROLE, BINDING, OWN, {**ROLE, "metadata": there, "rules": [record]}, {**BINDING, "metadata": there}]
    dump = tmp_path / "dump.json"
    dump.write_text(json.dumps({**LIST, "items": items}))
    found = run(dump, "-f", values, "-n", namespace).output
    assert "impersonate" in found
    assert "Helm's record" in found
