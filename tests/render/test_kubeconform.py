"""Every document of every values file is valid in the strict schemas of the API; the validator is the pinned one."""

import subprocess

from agent_identities.chart.helm import Renderer
from agent_identities.chart.values import Values
from agent_identities.toolchain import provide
from support.cases import values_files
from support.kubeconform import Kubeconform


def test_kubeconform_is_built_from_its_pin() -> None:
    tool = provide(["kubeconform"], progress=False)["kubeconform"]
    printed = subprocess.run([tool.path, "-v"], capture_output=True, text=True, check=True).stdout
    assert printed.strip() == f"v{tool.version}"


def test_every_document_is_valid_in_the_strict_schemas(renderer: Renderer, kubeconform: Kubeconform) -> None:
    kubeconform.assert_valid(renderer.render(Values.read([file])) for file in values_files())
