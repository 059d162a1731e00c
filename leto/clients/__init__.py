"""One client's way through a node: its connection, its session, its queue of requests, its replies."""
