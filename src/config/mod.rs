//! Profiles, flows and settings, loaded and checked.
