"""How large the Secret is in which Helm keeps a release: Kubernetes refuses one of more than a mebibyte.

Helm stores the chart's files, the values and the whole manifest as JSON, compressed (pkg/storage/driver/util.go,
pkg/release/v1/release.go of helm.sh/helm/v4). A release whose record is too large fails with "data: Too long".
"""

import base64
import gzip
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from agent_identities.chart import yaml

LIMIT_BYTES = 1024 * 1024
"""What the data of a Secret may hold (pkg/apis/core/validation: MaxSecretSize)."""


def record_size(chart: Path, manifest: str, values: Mapping[str, Any]) -> int:
    """Bytes of the record of a release of this chart with these values, as given, and this rendered manifest.

    On the safe side: Go compresses up to a tenth better than zlib does.
    """
    own = ("Chart.yaml", "values.yaml", "values.schema.json")
    ignored = _ignored(chart)
    paths = [path for path in sorted(chart.rglob("*")) if path.is_file() and not _matches(path, chart, ignored)]
    files = {path.relative_to(chart).as_posix(): path.read_bytes() for path in paths}
    stored = [
        {"name": name, "data": base64.b64encode(content).decode()} for name, content in files.items() if name not in own
    ]
    record = {
        "chart": {
            "metadata": yaml.load(files["Chart.yaml"].decode(), name="Chart.yaml"),
            "templates": [file for file in stored if file["name"].startswith("templates/")],
            "files": [file for file in stored if not file["name"].startswith("templates/")],
            "values": yaml.load(files["values.yaml"].decode(), name="values.yaml"),
            "schema": base64.b64encode(files["values.schema.json"]).decode(),
        },
        "config": values,
        "manifest": manifest,
    }
    packed = gzip.compress(json.dumps(record, separators=(",", ":")).encode(), compresslevel=9)
    return len(base64.b64encode(packed))


def _ignored(chart: Path) -> list[str]:
    path = chart / ".helmignore"
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    return [line.strip() for line in lines if line.strip() and not line.startswith("#")]


def _matches(path: Path, chart: Path, patterns: list[str]) -> bool:
    """Whether .helmignore leaves a file out of the chart: a pattern for its name, or for a folder that it is in."""
    relative = path.relative_to(chart)
    folders = [parent.name for parent in relative.parents if parent.name]
    return any(
        pattern.rstrip("/") in folders if pattern.endswith("/") else relative.match(pattern) for pattern in patterns
    )
