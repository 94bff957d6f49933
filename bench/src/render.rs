//! Writes what a comparison showed: a summary that is committed, the generated part of the page, and its plots.
//!
//! The summary ([`summary::Summary`]) holds all that is shown, so that the page can be written again from it alone; a test
//! compares. What people wrote stands on the same page outside of two marks, and is never touched.

mod bars;
pub mod curve;
pub mod growth;
mod lines;
mod page;
mod plots;
pub mod steps;
pub mod summary;
mod svg;

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::Context;

use self::{plots::Plot, summary::Summary};
use crate::compare::record;

const BEGIN: &str = "<!-- begin: natter-bench render -->\n";
const END: &str = "<!-- end: natter-bench render -->\n";

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Results of `compare`, of which the summary is written anew [default: the summary as it is]
    #[arg(long, value_name = "FILE")]
    from: Option<PathBuf>,
    /// What is kept of the results
    #[arg(long, value_name = "FILE", default_value = "docs/benchmarks.json")]
    summary: PathBuf,
    /// The page, of which the part between the marks is replaced
    #[arg(long, value_name = "FILE", default_value = "docs/benchmarks.md")]
    docs: PathBuf,
    /// Folder of the plots
    #[arg(long, value_name = "FOLDER", default_value = "docs/images")]
    images: PathBuf,
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    if let Some(from) = &args.from {
        let summary = Summary::of(&record::read(from)?)?;
        let text = serde_json::to_string_pretty(&summary)?;
        write(&args.summary, &format!("{text}\n"))?;
    }
    // From what was written, so that the page is that of the committed file.
    let summary = read(&args.summary)?;
    let page =
        fs::read_to_string(&args.docs).with_context(|| format!("cannot read {}", args.docs.display()))?;
    let plots = plots::all(&summary);
    write(&args.docs, &replaced(&page, &text(&summary, &plots, args))?)?;
    for plot in &plots {
        write(&args.images.join(plot.file), &plot.svg)?;
    }
    Ok(())
}

fn text(summary: &Summary, plots: &[Plot], args: &Args) -> String {
    let folder = args
        .docs
        .parent()
        .and_then(|folder| args.images.strip_prefix(folder).ok());
    let images = folder.unwrap_or(&args.images);
    page::text(summary, plots, &images.to_string_lossy())
}

fn read(path: &Path) -> anyhow::Result<Summary> {
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    serde_json::from_str(&text).with_context(|| format!("{} is no summary", path.display()))
}

fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

/// The page with `text` between the marks.
fn replaced(page: &str, text: &str) -> anyhow::Result<String> {
    let (before, rest) = page
        .split_once(BEGIN)
        .context("the page has no mark where the results begin")?;
    let (_, after) = rest
        .split_once(END)
        .context("the page has no mark where the results end")?;
    Ok(format!("{before}{BEGIN}\n{text}\n{END}{after}"))
}

#[cfg(test)]
mod tests;
