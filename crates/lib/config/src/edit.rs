//! Editing main.cf and master.cf in place.
