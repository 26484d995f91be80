"""What the words of the command line do, and how their answers look on a terminal."""
