"""The command line: one module per command or small family of commands, imported only when it is called."""
