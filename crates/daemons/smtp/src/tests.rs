//! Dialogues with scripted servers.
