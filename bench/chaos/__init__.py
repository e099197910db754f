"""The engine on a real Asterisk while things break: killed, stopped, cut off, without a disk, without a switch."""
