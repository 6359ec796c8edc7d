"""The slice transport: Faust runs the group, the assignor and the streams; we do records, rows, acks and commits.

One Faust event is one slice, a list of records of one partition. A slice is complete when its agent has called
``done()`` and the broker has acknowledged every row and output of it; only then may its offset be committed. Any fault
ends the process without a commit (exit 70), and the records are delivered again.
"""
