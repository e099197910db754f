"""FastAGI scripts in a process of their own: callers are recognised also while the engine is down."""
