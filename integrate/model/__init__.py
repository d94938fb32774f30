"""What is true of the things we work with: the floor of the house."""
