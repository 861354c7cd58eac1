"""Descriptions of a run: which are wanted, who writes them, and those that people bring along."""
