"""The client for programs that wait for many things at once. ``make_sync`` makes ``_sync`` of it, file by file."""
