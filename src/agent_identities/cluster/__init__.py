"""A cluster to prove on: the toolchain, the embedded control plane, kind, or one that is there already."""

DEFAULT_NAME = "default"
"""The control plane that `up`, `down` and `status` mean when no name is given."""
