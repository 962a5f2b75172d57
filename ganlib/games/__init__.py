"""Games: one file each, and `rules`, which says what a game is."""
