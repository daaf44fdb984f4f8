"""Write go.mod for a Kubernetes version: `python3 pin_kubernetes.py 1.36.4`, then `go mod tidy` in that folder.

Kubernetes requires its staging modules at v0.0.0 and replaces them by folders of its own tree. Replacements of a
dependency are ignored by Go, so a module that builds Kubernetes' commands repeats them, each with the tag of the same
release: v1.MINOR.PATCH of k8s.io/kubernetes is v0.MINOR.PATCH of every k8s.io module of its tree.
"""

import json
import re
import subprocess
import sys
from pathlib import Path

COMMANDS = ("kube-apiserver", "kube-controller-manager", "kubectl")


def main(version: str) -> None:
    download = subprocess.run(
        ["go", "mod", "download", "-json", f"k8s.io/kubernetes@v{version}"], check=True, capture_output=True, text=True
    )
    upstream = Path(json.loads(download.stdout)["GoMod"]).read_text()
    staging = "v0." + version.removeprefix("1.")
    go = re.search(r"^go (\S+)$", upstream, re.M)
    godebug = re.search(r"^godebug default=(\S+)$", upstream, re.M) or re.search(r"default=(go[\d.]+)", upstream)
    replaced = sorted(set(re.findall(r"^\s*(?:replace )?(k8s\.io/\S+) => \./staging/", upstream, re.M)))
    requires = re.findall(r"^\t(\S+ v\S+(?: // indirect)?)$", upstream, re.M)
    lines = [
        "// Written by ../pin_kubernetes.py; do not edit.",
        f"module github.com/agent-identities/agent-identities/ci/toolchain/kubernetes-{version.rsplit('.', 1)[0]}",
        "",
        f"go {go[1] if go else '1.26.0'}",
        "",
        *([f"godebug default={godebug[1]}", ""] if godebug else []),
        "tool (",
        *(f"\tk8s.io/kubernetes/cmd/{command}" for command in COMMANDS),
        ")",
        "",
        "require (",
        f"\tk8s.io/kubernetes v{version}",
        *("\t" + re.sub(r"^(k8s\.io/\S+) v0\.0\.0$", rf"\1 {staging}", line) for line in requires),
        ")",
        "",
        "replace (",
        *(f"\t{module} => {module} {staging}" for module in replaced),
        ")",
        "",
    ]
    folder = Path(__file__).parent / f"kubernetes-{version.rsplit('.', 1)[0]}"
    folder.mkdir(exist_ok=True)
    (folder / "go.mod").write_text("\n".join(lines))
    print(folder)


if __name__ == "__main__":
    main(sys.argv[1])
