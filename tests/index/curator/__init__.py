"""The shared index against a brute-force model of what every tenant may see."""
