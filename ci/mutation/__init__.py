"""Mutants: a chart, its schema or its objects with one thing changed on purpose, to see that somebody notices."""

from mutation.mutant import LayerName, Mutant
from mutation.template import TemplateMutant, template_mutants

__all__ = ["LayerName", "Mutant", "TemplateMutant", "template_mutants"]
