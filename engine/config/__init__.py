"""config.yaml: what it may say, all that is wrong with it at once, and what it decides.

`load` reads the file into `Config` (everything it says, for the shell) and `Policy` (what it decides about live calls,
for the core). Nothing is half-applied: a file with one error changes nothing.
"""

from engine.config.loading import ConfigProblem, Loaded, load, parse, read_secret
from engine.config.schema import Config
from engine.config.watching import Change, ConfigWatch, changes

__all__ = ["Change", "Config", "ConfigProblem", "ConfigWatch", "Loaded", "changes", "load", "parse", "read_secret"]
