"""Built-in initialisations, one file each."""
