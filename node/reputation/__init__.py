"""Reputation: how far another twin can be relied on, as seen from here and from nowhere else."""
