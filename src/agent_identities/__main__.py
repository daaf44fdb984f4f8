"""`python -m agent_identities`: the command, where its script is not on PATH."""

from agent_identities.cli import main

if __name__ == "__main__":
    main()
