"""Tables that one command computes from the networks that the book ships."""
