"""docs/protect-guards.yaml on the disk of the API server: not even an administrator deletes a guard (KEP-5793).

On by default in Kubernetes 1.37; 1.36 has it behind a feature gate. So this file has a control plane of its own.
"""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pykube
import pytest

from agent_identities.chart.helm import Helm, Release
from agent_identities.chart.values import Values
from agent_identities.cluster.control_plane import ControlPlane, ControlPlaneConfig
from support.namespaces import ADMISSION
from support.server import RBAC, Server, eventually

DOCS = Path(__file__).parents[3] / "docs"
NAMESPACE = "agent-system"
INSTALLER = "system:serviceaccount:ci:installer"
CONFIGURATION = """
apiVersion: apiserver.config.k8s.io/v1
kind: AdmissionConfiguration
plugins:
  - name: ValidatingAdmissionPolicy
    configuration:
      apiVersion: apiserver.config.k8s.io/v1
      kind: ValidatingAdmissionPolicyConfiguration
      staticManifestsDir: {folder}
"""


@pytest.fixture(scope="module")
def protected(helm_4: Helm, chart: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("manifests")
    shutil.copy(DOCS / "protect-guards.yaml", folder)
    file = tmp_path_factory.mktemp("admission") / "admission.yaml"
    file.write_text(CONFIGURATION.format(folder=folder))
    arguments = (
        "--feature-gates=ManifestBasedAdmissionControlConfig=true",
        f"--admission-control-config-file={file}",
    )
    with ControlPlane.start(tmp_path_factory.mktemp("plane"), ControlPlaneConfig(apiserver_args=arguments)) as plane:
        values = Values(overrides={"agents": {"a": {}}, "guards": {"enabled": True}})
        Release(helm_4, chart, "agents", NAMESPACE, plane.kubeconfig).install(values)
        yield Server(pykube.HTTPClient(pykube.KubeConfig.from_file(str(plane.kubeconfig))))


@pytest.mark.parametrize("kind", ["validatingadmissionpolicies", "validatingadmissionpolicybindings"])
def test_an_administrator_cannot_delete_or_change_a_guard(protected: Server, kind: str) -> None:
    path = f"{ADMISSION}/{kind}/agents.{NAMESPACE}.run-as"
    words = "admin may not change or delete" if kind.endswith("policies") else "may not change or delete"
    for answer in (
        protected.request("DELETE", f"{path}?dryRun=All", {"dryRun": ["All"]}),
        protected.patch(f"{path}?dryRun=All", {"metadata": {"labels": {"app.kubernetes.io/name": "other"}}}),
        protected.patch(f"{path}?dryRun=All", {"spec": {"matchResources": {}, "failurePolicy": "Ignore"}}),
    ):
        assert answer[0] == 403, answer
        assert words in answer[1]["message"]


def test_the_file_itself_cannot_be_changed_by_a_request(protected: Server) -> None:
    name = "agent-identities-guards.static.k8s.io"
    assert protected.request("DELETE", f"{ADMISSION}/validatingadmissionpolicies/{name}")[0] == 404


def test_the_installer_and_other_policies_go_on(protected: Server) -> None:
    """The release can be upgraded and uninstalled by the user in the file."""
    subject = {"kind": "ServiceAccount", "name": "installer", "namespace": "ci"}
    ref = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"}
    body = {"metadata": {"name": "installer"}, "roleRef": ref, "subjects": [subject]}
    protected.create(f"{RBAC}/clusterrolebindings", body)
    path = f"{ADMISSION}/validatingadmissionpolicies/agents.{NAMESPACE}.run-as?dryRun=All"
    installer = protected.as_user(INSTALLER)
    eventually(lambda: installer.request("DELETE", path, {"dryRun": ["All"]})[0] == 200)
    rule = {"apiGroups": ["example.com"], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["things"]}
    spec = {"matchConstraints": {"resourceRules": [rule]}, "validations": [{"expression": "true"}]}
    protected.create(f"{ADMISSION}/validatingadmissionpolicies", {"metadata": {"name": "other"}, "spec": spec})
    assert protected.request("DELETE", f"{ADMISSION}/validatingadmissionpolicies/other")[0] == 200
