"""Who works with the portal: accounts, the roles they hold, and how they are given and taken away."""
