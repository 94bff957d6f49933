//! Every server that the bench starts: it carries a small load, and what it does is the same work.

mod frames;
mod loads;
