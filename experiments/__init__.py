"""Wing: a cleared dataset becomes a tracked model.

It knows nothing of people, studies or decisions: the folder of an opened extract, limits and questions ("is this still
allowed?") are handed to it as values. It never opens a dataset on its own.
"""
