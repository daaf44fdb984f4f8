"""Reports as JSON.

Every command prints {"command", "ok", "summary", "findings": [finding], "notes": [text]} and keys of its own. A finding
is {"rule", "severity", "message", "location": {"object": {group, kind, namespace, name} or null, "field", "values",
"source"}, "details": [text], "remediation": [text]}.
"""

import dataclasses
import json
from typing import TextIO

from agent_identities.report.model import Report


def write(report: Report, output: TextIO) -> None:
    """Write the report as one JSON object."""
    whole = {
        "command": report.command,
        "ok": report.ok,
        "summary": report.summary,
        **report.data(),
        "findings": [dataclasses.asdict(finding) for finding in report.findings],
        "notes": list(report.notes),
    }
    json.dump(whole, output, indent=2)
    output.write("\n")
