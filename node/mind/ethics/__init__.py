"""What the twin refuses, and how an owner stops it."""
