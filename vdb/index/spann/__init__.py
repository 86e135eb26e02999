"""The shared index on disk: posting lists are nodes deeper in the tree, their heads and the directories stay in RAM."""
