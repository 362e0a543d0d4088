"""Ways to read a text: each undoes one kind of disguise. Pure."""
