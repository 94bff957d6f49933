//! The Protobuf codec against the messages as prost has them, and against bytes that are none.

mod commands;
mod filters;
mod hostile;
mod mirror;
mod replies;
