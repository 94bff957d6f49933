//! The gateway's program: everything is in the library.

use std::process::ExitCode;

use natter_gateway::{cli::Cli, server};

/// The smallest idle connection of the three allocators measured.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    server::run(&Cli::from_command_line())
}
