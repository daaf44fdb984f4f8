"""Mutants: a chart, its schema or its objects with one change, to prove that a test notices the change."""

from mutation.mutant import LayerName, Mutant
from mutation.template import TemplateMutant, template_mutants

__all__ = ["LayerName", "Mutant", "TemplateMutant", "template_mutants"]
