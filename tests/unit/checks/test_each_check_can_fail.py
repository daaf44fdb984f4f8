"""Each check has a file of tests with its name, and these tests notice a check that finds nothing."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from agent_identities.checks.registry import all_checks
from support import silent_check

FOLDER = Path(__file__).parent


def test_the_tests_of_each_check_fail_if_the_check_has_no_findings() -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
    environment["PYTHONPATH"] = str(FOLDER.parents[1])  # pytest loads plugins before it reads `pythonpath`
    options = ["-q", "-rf", "--tb=no", "-p", "no:cacheprovider", "-p", silent_check.__name__]
    command = [sys.executable, "-m", "pytest", *options, f"--ignore={__file__}", str(FOLDER)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == pytest.ExitCode.TESTS_FAILED, done.stdout + done.stderr
    failed = set(re.findall(r"^FAILED \S*?(\w+)\.py::", done.stdout, re.MULTILINE))
    names = {silent_check.file_of_tests(check.id) for check in all_checks()}
    assert names - failed == set()
