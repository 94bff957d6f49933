//! The chart as helm renders it, over a matrix of values, and what an API server says of that.

mod api_server;
mod examples;
mod helm;
mod matrix;
mod refused;
mod toggles;
