//! The API and the console: one file a noun.
