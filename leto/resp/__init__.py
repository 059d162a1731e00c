"""The Redis protocol: codec, one client's session, the Twisted protocol."""
