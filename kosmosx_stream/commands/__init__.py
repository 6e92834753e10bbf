"""What an operator says in a shell."""
