"""The broker: it runs a researcher's commands under the workbench's account, which alone can read keys and data.

A researcher's own account on the machine reads no zone. Their `erios` hands a command line, the terminal and, for a
training, the bundle's files to a Unix socket; the kernel says who is on its other side, and nothing else does.
"""
