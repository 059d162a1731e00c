"""The seams between rooms: what replica asks of storage, peers and the keyspace, and what the edges ask of replica.

Every interface has a memory twin, and one contract suite runs against both.
"""
