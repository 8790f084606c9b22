"""What the twin learns from how one goal went."""
