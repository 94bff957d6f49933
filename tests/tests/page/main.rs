//! The demo page: in a real browser, and as what a browser is sent.

mod assets;
mod browser;
