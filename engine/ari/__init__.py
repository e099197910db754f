"""Asterisk over ARI: requests as values, one client that carries them, and the switch made of both."""
