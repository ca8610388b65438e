"""What process units and commands cost, side by side with what else runs them; see README.md."""
