"""The check job: render the chart with the values, and run every check on the rendered objects."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from agent_identities.agents import Agents
    from agent_identities.checks.report import CheckResult


def check(agents: "Agents", *, meanwhile: "Callable[[], object] | None" = None) -> "CheckResult":
    """Check the rendered chart, without a cluster. ``meanwhile`` is called while Helm renders.

    Raises ValuesError and YamlError (the values), HelmError (the chart refuses them) and ToolchainError (no helm).
    """
    from concurrent.futures import ThreadPoolExecutor

    from agent_identities.chart.helm import Helm
    from agent_identities.toolchain import provide

    tool = provide(["helm"])["helm"]
    helm = Helm(tool.path, tool.version)
    with ThreadPoolExecutor(1) as background:  # Helm renders while Python imports modules and reads the values
        rendering = background.submit(helm.template, agents.chart, agents.given, agents.target)

        from agent_identities.chart.objects import Objects
        from agent_identities.chart.release_record import record_size
        from agent_identities.checks.registry import Install, all_checks, run
        from agent_identities.checks.report import CheckResult

        declaration, catalogue, checks = agents.declaration, agents.catalogue, all_checks()
        if meanwhile:
            meanwhile()
        manifest = rendering.result()
        # Most of the time is compression, which runs in parallel to Python code.
        size = background.submit(record_size, agents.chart, manifest, agents.given.given)
        install = Install(Objects.from_yaml(manifest), declaration, catalogue, size.result(), agents.given.idle_nulls)
    return CheckResult(install, run(install, checks))
