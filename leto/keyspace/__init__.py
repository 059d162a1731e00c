"""The deterministic database, pure: a command and the log's time in, a reply out."""
