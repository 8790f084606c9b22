"""Red lines: what the owner wants nobody to suggest to this twin, and whether a text does."""
