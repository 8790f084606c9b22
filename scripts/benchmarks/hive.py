"""Playbooks of a swarm: merging, twenty twins that come to one state, and a newcomer's first sync."""

PARTS = ("merge", "convergence", "newcomer")
