"""HTTP to and from the world outside. The owner's own interface is `node/api`."""
