"""Consensus, pure: messages in, Ready out. No reactor, clock, file, socket or randomness."""
