"""The client for programs that wait for one thing at a time. Made of ``_async`` by ``make_sync``."""
