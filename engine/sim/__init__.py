"""A simulated switch and simulated people: the whole engine in virtual time, a floor without telephones."""
