//! How far a comparison is, and how long it will take.

use std::{collections::BTreeMap, time::Duration};

use super::{plan::Cell, rows};

/// What cells of each row took on average, from those that were measured.
#[derive(Debug, Default)]
pub(super) struct Progress(BTreeMap<String, (u32, Duration)>);

impl Progress {
    pub(super) fn took(&mut self, row: &str, time: Duration) {
        let (count, sum) = self.0.entry(row.to_owned()).or_default();
        *count += 1;
        *sum += time;
    }

    fn of(&self, row: &str) -> Duration {
        let usual = || rows::named(row).map_or(0, |row| row.kind.usual_seconds());
        self.0.get(row).map_or_else(
            || Duration::from_secs(usual().into()),
            |(count, sum)| *sum / *count,
        )
    }

    /// What is left, such as `2 h 10 min`.
    pub(super) fn left(&self, cells: &[Cell]) -> String {
        let left: Duration = cells.iter().map(|cell| self.of(&cell.row)).sum();
        let minutes = left.as_secs().div_ceil(60);
        match minutes / 60 {
            0 => format!("{minutes} min"),
            hours => format!("{hours} h {} min", minutes % 60),
        }
    }
}
