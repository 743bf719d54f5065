"""The tab that trains: what may be asked for, runs as processes of their own, and how far they are."""
