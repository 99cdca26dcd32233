"""Where code that is not ours runs: a bundle's training, with one pipe to the process that watches it.

``box`` says what a process inside sees; ``bubblewrap``, ``seccomp``, ``machine_network`` shut it in, ``enclosed``
starts it and ends all of it; ``egress_filter`` is asked before ranks on several machines. ``messages`` and ``channel``
are what may be said through the pipe. ``trainer`` is the program inside, ``supervisor`` the process outside with its
``limits``. ``collected_files`` takes out what the program inside wrote; ``evaluation_table`` and ``model_file`` check
it.
"""
