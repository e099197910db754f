"""Lead files into campaigns: `sheets` reads rows, `columns` says what they mean, `files` decides and imports."""
