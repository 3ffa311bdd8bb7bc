//! Bowline.
