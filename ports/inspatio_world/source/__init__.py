"""From footage to a source: scenes, camera paths, and what is seen of the one from the other."""
