"""What a goal says, what in it must not leave this machine, how it sounds, and how it tries to deceive."""
