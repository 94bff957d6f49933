//! The load tool's program: everything is in the library.

use std::process::ExitCode;

use clap::Parser;
use natter_bench::cli::Cli;

fn main() -> ExitCode {
    match Cli::parse().run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("natter-bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}
