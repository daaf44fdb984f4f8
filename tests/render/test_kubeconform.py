"""The validator of manifests is the pinned one."""

import subprocess

from agent_identities.toolchain import provide


def test_kubeconform_is_built_from_its_pin() -> None:
    tool = provide(["kubeconform"], progress=False)["kubeconform"]
    printed = subprocess.run([tool.path, "-v"], capture_output=True, text=True, check=True).stdout
    assert printed.strip() == f"v{tool.version}"
