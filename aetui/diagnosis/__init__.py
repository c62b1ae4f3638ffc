"""Causes of bad training: evidence, findings, verdict."""
