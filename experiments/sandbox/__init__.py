"""Where code that is not ours runs: a bundle's training, behind a wall, with one pipe to the process that watches it.

``box`` says what a process inside sees, ``bubblewrap`` and ``seccomp`` are the wall, ``messages`` and ``channel`` what
may be said through the pipe, ``trainer`` is the program inside, ``supervisor`` the process outside, and
``collected_files`` takes out what the program inside wrote.
"""
