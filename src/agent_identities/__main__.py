"""The program `agent-identities`, also as `python -m agent_identities`."""

import sys


def main() -> None:
    """Run the command. Ctrl-C while its modules are still imported is no traceback either."""
    try:
        from agent_identities import cli

        cli.main()
    except KeyboardInterrupt:
        sys.stderr.write("agent-identities: interrupted\n")
        sys.exit(130)


if __name__ == "__main__":
    main()
