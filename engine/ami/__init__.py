"""Asterisk's manager interface: registrations as facts, NOTIFYs to phones, reloads."""
