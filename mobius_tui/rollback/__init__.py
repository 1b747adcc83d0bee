"""The way back: from a publication to the state before it; standard library only."""
