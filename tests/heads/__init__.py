"""Volumes of invented heads and of bodies without one, and the training of the network that tells them apart."""
