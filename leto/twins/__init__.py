"""Memory doubles of Leto's interfaces, for its own tests and for others'."""
