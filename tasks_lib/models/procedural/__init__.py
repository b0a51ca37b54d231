"""The embedded model: a small grammar and a painter that draw what a prompt names; no neural network."""

from tasks_lib.models.procedural.model import ProceduralImageGeneration

__all__ = ["ProceduralImageGeneration"]
