"""What the chart refuses by itself, for a user with nothing but helm: the place, what is wrong, what to write."""

from typing import Any, NamedTuple

import pytest

from agent_identities.helm import HelmError, Renderer, Values

RULES = [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}]
OWN = [{"apiGroups": [""], "resources": ["configmaps"], "resourceNames": ["{agent}-state"], "verbs": ["get"]}]
READ_SECRETS = [{"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]}]
WRITE_SERVICES = [{"apiGroups": [""], "resources": ["services"], "verbs": ["patch"]}]
NODES = {"nodes": {"scope": "Cluster", "rules": RULES}}
THEIRS = {"theirs": {"existingRole": {"kind": "ClusterRole", "name": "view"}}}


class Case(NamedTuple):
    """Values with a mistake, what the message must hold, and the same values as the message says to write them."""

    values: dict[str, Any]
    parts: tuple[str, ...]
    cured: dict[str, Any]


def agent(**fields: Any) -> dict[str, Any]:
    return {"agents": {"a": fields}}


def tier(**fields: Any) -> dict[str, Any]:
    return {"tiers": {"t": fields}}


IMAGE = {"image": "x"}
AUTOMOUNT = {"mode": "automount"}

CASES = [
    Case(
        agent(tiers=["root"]),
        ("agents.a.tiers[0]", 'no tier "root"', "Known tiers: proxy", "tiers:\n        root:"),
        agent(tiers=["root"]) | {"tiers": {"root": {"rules": RULES}}},
    ),
    Case(
        {"agents": {"triage": {"instances": 2}, "triage-2": {}}},
        ("agents.triage-2", 'ServiceAccount "triage-2"', "so does agents.triage", "Rename"),
        {"agents": {"triage": {"instances": 2}, "triage-b": {}}},
    ),
    Case(
        {"agents": {"a": {"serviceAccount": {"name": "b"}}, "b": {}}},
        ("agents.b", 'ServiceAccount "b"', "so does agents.a", "Rename"),
        {"agents": {"a": {"serviceAccount": {"name": "c"}}, "b": {}}},
    ),
    Case({"agents": {"default": {}}}, ("agents.default", "no agent may be it", "another name"), {"agents": {"b": {}}}),
    Case(
        agent(serviceAccount={"create": False, "name": "default"}),
        ("agents.a", "no agent may be it", "another name"),
        agent(serviceAccount={"create": False, "name": "made-before"}),
    ),
    Case(
        {"agents": {"agent-proxy": {}}},
        ("agents.agent-proxy", "which is the proxy's", "Rename the agent"),
        {"agents": {"agent-proxy": {}}, "proxy": {"name": "gateway"}},
    ),
    Case(
        {"agents": {"a" * 62: {"instances": 1}}},
        (f"agents.{'a' * 62}", "64 characters", "Shorten"),
        {"agents": {"a" * 61: {"instances": 1}}},
    ),
    Case(
        agent(token={"expirationSeconds": 3607}),
        ("agents.a.token.expirationSeconds", "extends to a year", "expirationSeconds: 3600"),
        agent(token={"expirationSeconds": 3600}),
    ),
    Case(
        agent(token=AUTOMOUNT | {"expirationSeconds": 900}),
        ("agents.a.token", "automount takes neither", "mode: projected"),
        agent(token={"mode": "projected", "expirationSeconds": 900}),
    ),
    Case(
        agent(labels={"helm.sh/chart": "x"}),
        ("agents.a.labels", "helm.sh/chart", "another key"),
        agent(labels={"example.com/chart": "x"}),
    ),
    Case(
        {"extraLabels": {"app.kubernetes.io/instance": "x"}},
        ("extraLabels", "app.kubernetes.io/instance", "another key"),
        {"extraLabels": {"app.kubernetes.io/part-of": "x"}},
    ),
    Case(
        agent(workload=IMAGE | {"podLabels": {"agent-identities/agent": "b"}}),
        ("agents.a.workload.podLabels", "agent-identities/agent", "another key"),
        agent(workload=IMAGE | {"podLabels": {"example.com/agent": "b"}}),
    ),
    Case(
        agent(workload=IMAGE | {"volumes": [{"name": "agent-token"}]}),
        ("agents.a.workload.volumes[0].name", "agent-token", "another name"),
        agent(workload=IMAGE | {"volumes": [{"name": "token", "emptyDir": {}}]}),
    ),
    Case({"proxy": {"name": "default"}}, ("proxy.name", '"default"', "name: agent-proxy"), {"proxy": {"name": "p"}}),
    Case(
        {"proxy": {"labels": {"helm.sh/chart": "x"}}},
        ("proxy.labels", "helm.sh/chart"),
        {"proxy": {"labels": {"team": "x"}}},
    ),
    Case(
        {"proxy": {"workload": IMAGE, "token": {"expirationSeconds": 3607}}},
        ("proxy.token.expirationSeconds", "extends to a year", "expirationSeconds: 3600"),
        {"proxy": {"workload": IMAGE, "token": {"expirationSeconds": 3600}}},
    ),
    Case({"tiers": {"proxy": {"rules": RULES}}}, ("tiers.proxy", "proxy.rules"), {"proxy": {"rules": RULES}}),
    Case(
        {"tiers": {"agent-proxy": {"rules": RULES}}},
        ("tiers.agent-proxy", "agent-proxy-role", "another name"),
        tier(rules=RULES),
    ),
    Case(
        agent(namespaces={"agent-system": ["proxy"]}),
        ("agents.a.namespaces.agent-system", "agents' own namespace", "tiers: [proxy]"),
        agent(tiers=["proxy"]),
    ),
    Case(
        agent(namespaces={"agents": ["proxy"]}) | {"namespaceOverride": "agents"},
        ("agents.a.namespaces.agents", "agents' own namespace", "tiers: [proxy]"),
        agent(namespaces={"agent-system": ["proxy"]}) | {"namespaceOverride": "agents"},
    ),
    Case(
        agent(namespaces={"team-a": ["root"]}),
        ("agents.a.namespaces.team-a[0]", 'no tier "root"', "Known tiers: proxy"),
        agent(namespaces={"team-a": ["proxy"]}),
    ),
    Case(
        agent(namespaces={"team-a": ["nodes"]}) | {"tiers": NODES},
        ("agents.a.namespaces.team-a[0]", "scope: Cluster", "List it under agents.a.tiers"),
        agent(tiers=["nodes"]) | {"tiers": NODES},
    ),
    Case(
        tier(scope="Cluster", rules=OWN),
        ("tiers.t", "scope: Cluster and {agent}", "Remove one of the two"),
        tier(rules=OWN),
    ),
    Case(
        tier(rules=RULES, existingRole={"name": "theirs"}),
        ("tiers.t", "both rules and existingRole", "Keep one"),
        tier(existingRole={"name": "theirs"}),
    ),
    Case(tier(), ("tiers.t", "neither rules nor existingRole", "rules: [{apiGroups"), tier(rules=RULES)),
    Case(
        tier(scope="Cluster", existingRole={"kind": "Role", "name": "theirs"}),
        ("tiers.t.existingRole", "holds in one namespace", "kind: ClusterRole"),
        tier(scope="Cluster", existingRole={"kind": "ClusterRole", "name": "theirs"}),
    ),
    Case(
        agent(access="proxied", token={"expirationSeconds": 900}),
        ("agents.a.token", "a proxied agent holds no token", "access: direct"),
        agent(access="direct", token={"expirationSeconds": 900}),
    ),
    Case(
        agent(access="proxied", workload=IMAGE),
        ("agents.a.workload", "a proxied agent holds no token and runs no pod", "access: direct"),
        agent(access="direct", workload=IMAGE),
    ),
    Case(
        agent(access="proxied", tiers=["theirs"]) | {"tiers": THEIRS},
        ("agents.a.tiers[0]", "its verbs are not known here", "access: direct"),
        agent(tiers=["theirs"]) | {"tiers": THEIRS},
    ),
    Case(
        agent(access="proxied", namespaces={"team-a": ["theirs"]}) | {"tiers": THEIRS},
        ("agents.a.namespaces.team-a[0]", "its verbs are not known here", "Give the tier rules"),
        agent(access="proxied", namespaces={"team-a": ["theirs"]}) | {"tiers": {"theirs": {"rules": RULES}}},
    ),
    Case(
        agent(serviceAccount={"create": False}),
        ("agents.a.serviceAccount", "no name says which", "{create: false, name: a}"),
        agent(serviceAccount={"create": False, "name": "a"}),
    ),
    Case(
        agent(serviceAccount={"name": "b"}, instances=2),
        ("agents.a.serviceAccount.name", "one name for several instances", "remove instances"),
        agent(serviceAccount={"name": "b"}),
    ),
    Case(
        agent(instances=2, quarantined=[1, 3]),
        ("agents.a.quarantined[1]", "no instance 3 of 2", "quarantined: true"),
        agent(instances=2, quarantined=[1, 2]),
    ),
    Case(
        agent(quarantined=[1]),
        ("agents.a.quarantined[0]", "no instance 1 of 0", "quarantined: true"),
        agent(quarantined=True),
    ),
    Case(
        tier(rules=READ_SECRETS),
        ("tiers.t.rules[0]", "critical risk secret-read", 'acceptRisks: {secret-read: "why it is needed"}'),
        tier(rules=READ_SECRETS, acceptRisks={"secret-read": "why it is needed"}),
    ),
    Case(
        {"proxy": {"rules": WRITE_SERVICES}},
        ("proxy.rules[0]", "high risk service-write", 'acceptRisks: {service-write: "why it is needed"}'),
        {"proxy": {"rules": WRITE_SERVICES, "acceptRisks": {"service-write": "why it is needed"}}},
    ),
    Case(
        tier(rules=READ_SECRETS, acceptRisks={"secret-read": "why", "secrets": "why"}),
        ("tiers.t.acceptRisks.secrets", "no such risk", "The rules here meet: secret-read", "remove this line"),
        tier(rules=READ_SECRETS, acceptRisks={"secret-read": "why"}),
    ),
    Case(
        tier(rules=RULES, acceptRisks={"secret-read": "why"}),
        ("tiers.t.acceptRisks.secret-read", "no rule here meets", "Remove this line"),
        tier(rules=RULES),
    ),
    Case({"agnts": {}}, ("agnts",), {"agents": {}}),
    Case({"agents": {"Bad_Name": {}}}, ("/agents", "Bad_Name"), {"agents": {"good-name": {}}}),
    Case(agent(teirs=[]), ("/agents/a", "teirs"), agent(tiers=[])),
    Case(
        agent(token={"expirationSeconds": 60}),
        ("/agents/a/token/expirationSeconds", "600"),
        agent(token={"expirationSeconds": 600}),
    ),
    Case(tier(rules=[]), ("/tiers/t/rules", "minItems"), tier(rules=RULES)),
    Case(
        tier(rules=RULES, acceptRisks={"secret-read": ""}),
        ("/tiers/t/acceptRisks/secret-read", "minLength"),
        tier(rules=READ_SECRETS, acceptRisks={"secret-read": "why"}),
    ),
]


@pytest.mark.parametrize("case", CASES, ids=[f"{case.parts[0][:30]}-{case.parts[-1][:20]}" for case in CASES])
class TestMistakes:
    @pytest.mark.parametrize("engine", ["renderer", "renderer_3"])
    def test_it_is_refused_with_its_place_and_its_cure(
        self, request: pytest.FixtureRequest, engine: str, case: Case
    ) -> None:
        renderer: Renderer = request.getfixturevalue(engine)
        with pytest.raises(HelmError) as error:
            renderer.render(Values(overrides=case.values))
        missing = [part for part in case.parts if part not in str(error.value)]
        assert not missing, str(error.value)
        assert "problems in the values" not in str(error.value), "one mistake is one problem"

    def test_what_the_message_says_to_write_is_taken(self, renderer: Renderer, case: Case) -> None:
        assert renderer.render(Values(overrides=case.cured)).objects.of_kind("ServiceAccount")


def test_legacy_impersonation_may_act_for_a_role_that_somebody_else_keeps(renderer: Renderer) -> None:
    values = agent(access="proxied", tiers=["theirs"]) | {"tiers": THEIRS, "proxy": {"impersonation": "legacy"}}
    assert renderer.render(Values(overrides=values)).objects.find("RoleBinding", "a:view")


def test_all_problems_stand_in_one_message(renderer: Renderer) -> None:
    values = {"agents": {"default": {}, "a": {"tiers": ["root", "boss"]}, "b": {"token": {"expirationSeconds": 3607}}}}
    with pytest.raises(HelmError, match="4 problems in the values") as error:
        renderer.render(Values(overrides=values))
    assert [place in str(error.value) for place in ("agents.default", "a.tiers[0]", "a.tiers[1]", "b.token")] == [
        True
    ] * 4


def test_many_problems_are_cut_with_their_number(renderer: Renderer) -> None:
    values = {"agents": {f"a{number}": {"tiers": ["root"]} for number in range(30)}}
    with pytest.raises(HelmError, match=r"30 problems[\s\S]*and 10 more"):
        renderer.render(Values(overrides=values))
