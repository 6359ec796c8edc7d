"""Things that every process needs: a clock, supervised tasks, memory given back, bodies read over HTTP."""
