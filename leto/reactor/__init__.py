"""What Leto adds to Twisted's reactor: listening and accepting, one loop for all sockets, a meter of stalls."""
