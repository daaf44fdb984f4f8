"""kubeconform, offline and strict."""

import json
import subprocess
from collections.abc import Iterable
from pathlib import Path

from agent_identities.chart.helm import Rendered

KUBERNETES = "1.36.0"
"""The schemas that kubernetes-validate carries are those of a minor's first patch."""


class Kubeconform:
    """Judges rendered text against the API's schemas, without a network."""

    def __init__(self, binary: Path, schemas: Path) -> None:
        self.binary, self.schemas = binary, schemas

    def assert_valid(self, printed: Iterable[Rendered]) -> None:
        """Every document of every output is valid, by one process: it takes half a second to read its schemas."""
        each = list(printed)
        text = "\n".join(one.text for one in each)
        assert self.valid_documents(text) == sum(len(one.objects) for one in each) > 0

    def valid_documents(self, text: str) -> int:
        """How many documents are valid; fails the test at the first that is not, or that has no schema."""
        command: list[str | Path] = [self.binary, "-n", "1", "-strict", "-summary", "-output", "json"]
        command += ["-kubernetes-version", KUBERNETES, "-schema-location", self.schemas]
        process = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
        report = json.loads(process.stdout)
        assert not report["resources"], report["resources"]
        return int(report["summary"]["valid"])
