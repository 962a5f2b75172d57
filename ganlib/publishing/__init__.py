"""What makes a book of the notebooks for others: where it is published, and how it looks there.

These modules need the book's requirements.txt, more than the library itself does.
"""
