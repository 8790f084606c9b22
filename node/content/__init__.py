"""Content by CID: files, folders and DAGs, in this node's own block store or in a Kubo, and what is kept for whom."""
