"""Benchmarks: each figure is measured against a raw loop, or against the library it stands on, in the same run."""
