"""Models that others serve: the two wire formats, and the list of them that the owner keeps."""
