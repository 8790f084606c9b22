"""What must survive: one SQLite database, the block store and its pins, the mailbox, the event log, the vector index.

It stores and does not decide: policy, clocks and wire formats live elsewhere. Times come in as milliseconds
since 1970. The functions of mailbox, eventlog, gossip and their like take a connection first and run inside
`Database.write` or `Database.read`; they never commit by themselves.
"""
