"""The bootstrap relay: a small node that swarms meet at. No twin needs one to run."""
