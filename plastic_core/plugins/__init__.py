"""Which plugins are installed, whether they are sound, and how to begin one."""
