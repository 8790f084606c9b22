"""DIDs at run time: resolving those of others, the names and keys of this twin, and who is called what from now on."""
