"""Starting, stopping and finding the processes of a workspace from outside; standard library only."""
