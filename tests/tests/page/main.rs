//! The demo page: in a real browser, and as what a browser is sent; and the example of an editor.

mod assets;
mod browser;
mod editor;
