"""Measuring: throughput, latency, cost and failover of a cluster, beside other servers of the Redis protocol."""
