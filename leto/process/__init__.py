"""The process: its logs, its signals, the service that builds a node and stops it in order."""
