"""The choice of the cluster of a command: from explicit options to a throw-away control plane."""

from pathlib import Path

import pytest
import yaml

from agent_identities.cluster.choose import Choice, choose
from agent_identities.errors import ClusterError


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home directory without a kubeconfig file, outside of a pod."""
    for name in ("KUBECONFIG", "KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def kubeconfig(path: Path, *names: str) -> Path:
    """A kubeconfig file with contexts of these names. The first is the current context."""
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {
        "current-context": names[0],
        "clusters": [{"name": name, "cluster": {"server": f"https://{name}.example"}} for name in names],
        "users": [{"name": "me", "user": {"token": "secret-token"}}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": "me"}} for name in names],
    }
    path.write_text(yaml.safe_dump(content))
    return path


def server(choice: Choice) -> str:
    assert choice.access is not None
    assert choice.kind == "kubeconfig"
    return choice.access.server


@pytest.mark.parametrize("kind", ["embedded", "kind"])
def test_a_throw_away_cluster_takes_precedence_over_a_kubeconfig_file(home: Path, kind: str) -> None:
    kubeconfig(home / ".kube" / "config", "mine")
    assert choose(kind, throw_away=True) == Choice(kind)  # type: ignore[arg-type] # they are kinds


@pytest.mark.parametrize("kind", ["embedded", "kind"])
def test_a_throw_away_cluster_with_kubeconfig_or_context_is_an_error(tmp_path: Path, kind: str) -> None:
    for named in ({"kubeconfig": tmp_path}, {"context": "mine"}):
        with pytest.raises(ClusterError, match=f"--cluster {kind}: .* Omit --kubeconfig and --context"):
            choose(kind, **named)


def test_the_option_kubeconfig_takes_precedence(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kubeconfig(home / ".kube" / "config", "home")
    monkeypatch.setenv("KUBECONFIG", str(kubeconfig(tmp_path / "variable", "variable")))
    named = kubeconfig(tmp_path / "named", "named", "other")
    for throw_away in (True, False):
        assert server(choose(kubeconfig=named, throw_away=throw_away)) == "https://named.example"
        assert server(choose(kubeconfig=named, context="other", throw_away=throw_away)) == "https://other.example"


def test_the_variable_kubeconfig_takes_precedence_over_the_file_in_the_home_directory(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kubeconfig(home / ".kube" / "config", "home", "other")
    assert server(choose(throw_away=True)) == "https://home.example"
    assert server(choose(context="other", throw_away=True)) == "https://other.example"
    assert server(choose("kubeconfig")) == "https://home.example"
    monkeypatch.setenv("KUBECONFIG", str(kubeconfig(tmp_path / "variable", "variable")))
    assert server(choose(throw_away=True)) == "https://variable.example"


def test_without_a_kubeconfig_the_choice_is_a_throw_away_cluster_if_allowed() -> None:
    assert choose(throw_away=True) == Choice("embedded")
    for kind, throw_away in ((None, False), ("kubeconfig", True), ("kubeconfig", False)):
        with pytest.raises(ClusterError, match="no such file"):
            choose(kind, throw_away=throw_away)


def test_an_unusable_kubeconfig_is_an_error_instead_of_a_throw_away_cluster(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = kubeconfig(home / ".kube" / "config", "mine")
    broken.write_text(broken.read_text().replace("https://", "http://"))
    with pytest.raises(ClusterError, match="TLS verification is disabled"):
        choose(throw_away=True)
    with pytest.raises(ClusterError, match="no context 'nowhere'"):
        choose(context="nowhere", throw_away=True)
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "nowhere"))
    with pytest.raises(ClusterError, match="no such file"):
        choose(throw_away=True)


def test_the_string_of_a_choice_has_its_cluster(tmp_path: Path) -> None:
    path = kubeconfig(tmp_path / "named", "mine")
    assert str(choose(kubeconfig=path)) == f"https://mine.example, context 'mine' of {path}"
    assert str(Choice("embedded")) == "a throw-away embedded control plane"
    assert str(Choice("kind")) == "a throw-away kind cluster"
