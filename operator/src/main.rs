//! The operator's program: everything is in the library.

use std::io::{self, Write};

fn main() -> anyhow::Result<()> {
    let definition = natter_operator::crd::yaml()?;
    Ok(io::stdout().write_all(definition.as_bytes())?)
}
