"""The engine: everything that tables hold, as a function of records and instants. It knows no Kafka and no clock.

A worker drives its parts from topics (``streams.agents``, ``streams.valuing``). Tests and ``tidemark fold`` drive the
same parts from files and lists (``models.engine.in_memory``).
"""
