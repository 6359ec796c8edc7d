"""Made-up accounts, markets and ticks, and the way to lay them into a cluster, for the benchmarks beside this."""
