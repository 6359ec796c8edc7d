"""The slice transport: Faust keeps the group, the assignor and the streams; records, rows, acks and commits are ours.

One Faust event is one slice, a list of records of one partition. A slice is complete when its agent said ``done()`` and
the broker acknowledged every row and output it caused; only then may its offset be committed. Anything that went wrong
ends the process without a commit (exit 70), and the records come again.
"""
