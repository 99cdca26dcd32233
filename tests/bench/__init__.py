"""`make bench`: figures, never judged by a test."""
