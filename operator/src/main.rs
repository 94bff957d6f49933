//! The operator's program: everything is in the library.

use std::io::{self, Write};

use clap::Parser;
use natter_operator::{
    cli::{Cli, Command},
    crd, run,
};

fn main() -> anyhow::Result<()> {
    match Cli::parse().command {
        Command::Run(args) => run::run(*args),
        Command::Crd => Ok(io::stdout().write_all(crd::yaml()?.as_bytes())?),
    }
}
