"""Learning over many goals: what the twin changes, or would change, about how it and the swarm work."""
