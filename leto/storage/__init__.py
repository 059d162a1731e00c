"""The append-only log, the hard state and the snapshots of one data directory."""
