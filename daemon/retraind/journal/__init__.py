"""The journal: one SQLite file of hash-chained events, one writer, any number of readers.

`append` is the writer's (the supervisor's alone), `read` everybody's, `upkeep` checks and keeps the snapshot.
"""
