"""The worker as a process: its Faust app, how it runs, and its admin port."""
