"""A small L2: the ActivityPub registry that people sign in with, for trying out and testing an Art DAG L1.

It is written from the public documents alone (docs/federation.md) and shares no code with the server that it talks to:
what both understand they understand for the same reason as two strangers would. One process, one SQLite file::

    python -m tests.l2 --port 8200 --data l2.db --public-url http://127.0.0.1:8200
"""
