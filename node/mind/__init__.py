"""The mind: what the twin does with a goal, and what it learns from how that went."""
