"""What each command does with its options: a function of the same name in a module of the same group."""
