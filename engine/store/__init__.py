"""What is on disk: one SQLite file, plain SQL, one writer."""
