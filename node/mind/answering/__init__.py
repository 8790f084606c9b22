"""What a model is given, and the answer that comes of it."""
