//! The figures that are read from a result, and how they are written.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::report::grouped;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Figure {
    /// Bytes for each idle connection.
    Resident,
    /// The same of the NATS beside it.
    BusResident,
    /// Bytes of the kernel's for each, at both ends.
    KernelSlab,
    /// Milliseconds for a connect and a join.
    ConnectCpu,
    /// CPU-seconds of the server for a million deliveries.
    Cpu,
    /// The same of the NATS beside it.
    BusCpu,
    /// Milliseconds from when a message was due to its arrival.
    P50,
    P99,
    P999,
    /// The same of members of other rooms, before a flood or a storm and during it.
    P99BeforeFlood,
    P50OfOthers,
    P99OfOthers,
    /// Deliveries a second that were sustained.
    Rate,
    /// Deliveries for each CPU-second of the server.
    PerCpuSecond,
    /// Of its core that the client used.
    ClientShare,
    /// Connects that failed.
    Refused,
    /// Seconds from when everybody dropped until the last one was back.
    Back,
    /// Milliseconds to notice that a member is gone and to take it back.
    ReturnCpu,
    /// Milliseconds of a connect and a join of somebody who comes back.
    P99OfJoins,
    /// Seconds until the last slow member was cut.
    Cut,
    /// Bytes for each slow member, at most.
    Peak,
    /// Milliseconds for members that keep up, while there are no others.
    P99Alone,
}

/// What the load on a server cost it: of a search, that of the highest rate that was sustained; of a flood, that of the flood; of
/// connects, those of the first round; of slow members, that of the others beside them.
pub fn measured(result: &Value) -> &Value {
    let parts = ["/sustained", "/flood", "/rounds/0", "/beside"];
    let part = parts.into_iter().find_map(|part| result.pointer(part));
    part.unwrap_or(result)
}

/// Whether the client was the limit.
pub fn client_was_limit(result: &Value) -> bool {
    measured(result).get("client_is_limit").and_then(Value::as_bool) == Some(true)
}

impl Figure {
    /// The figure in the result of a scenario.
    pub fn of(self, result: &Value) -> Option<f64> {
        let number = |path: &str| measured(result).pointer(path).and_then(Value::as_f64);
        let whole = |path: &str| result.pointer(path).and_then(Value::as_f64);
        let others = |path: &str| result.pointer("/others")?.pointer(path)?.as_f64();
        match self {
            Self::Resident => number("/resident"),
            Self::BusResident => number("/bus_resident"),
            Self::KernelSlab => number("/kernel_slab"),
            Self::ConnectCpu => number("/connect_cpu_milliseconds"),
            Self::Cpu => number("/cpu_seconds_per_million"),
            Self::BusCpu => Some(number("/bus_cpu_seconds")? * 1e6 / number("/deliveries")?),
            Self::P50 => number("/latency/p50"),
            Self::P99 => number("/latency/p99"),
            Self::P999 => number("/latency/p999"),
            Self::P99BeforeFlood => others("/before/latency/p99"),
            Self::P50OfOthers => others("/during/latency/p50"),
            Self::P99OfOthers => others("/during/latency/p99"),
            Self::Rate => number("/deliveries_per_second"),
            Self::PerCpuSecond => number("/deliveries_per_cpu_second"),
            Self::ClientShare => Some(100.0 * number("/client_share")?),
            Self::Refused => number("/failed").or_else(|| number("/refused")),
            Self::Back => whole("/seconds"),
            Self::ReturnCpu => whole("/server_cpu_milliseconds"),
            Self::P99OfJoins => whole("/joins/p99"),
            Self::Cut => {
                let times = result.get("cut_after")?.as_array()?;
                #[expect(clippy::cast_precision_loss, reason = "members of one run")]
                let all_cut = times.len() as f64 >= whole("/slow")?;
                times.last().filter(|_| all_cut)?.as_f64()
            }
            Self::Peak => Some((whole("/resident_peak")? - whole("/resident_before")?) / whole("/slow")?),
            Self::P99Alone => whole("/alone/latency/p99"),
        }
    }

    pub fn title(self) -> &'static str {
        match self {
            Self::Resident => "resident bytes each",
            Self::BusResident | Self::BusCpu => "of NATS",
            Self::KernelSlab => "kernel slab bytes each",
            Self::ConnectCpu => "CPU of a connect and a join, ms",
            Self::Cpu => "CPU-seconds per million",
            Self::P50 => "p50, ms",
            Self::P99 => "p99, ms",
            Self::P999 => "p99.9, ms",
            Self::P99BeforeFlood => "p99 of other rooms before, ms",
            Self::P50OfOthers => "p50 of other rooms, ms",
            Self::P99OfOthers => "p99 of other rooms, ms",
            Self::Rate => "deliveries/s",
            Self::PerCpuSecond => "deliveries per CPU-second",
            Self::ClientShare => "client, % of its core",
            Self::Refused => "refused",
            Self::Back => "all are back after, s",
            Self::ReturnCpu => "CPU of a drop and a return, ms",
            Self::P99OfJoins => "p99 of a connect and a join, ms",
            Self::Cut => "all slow ones cut after, s",
            Self::Peak => "resident bytes at most of a slow one",
            Self::P99Alone => "p99 without slow ones, ms",
        }
    }
}

/// Three digits that count.
pub fn number(value: f64) -> String {
    match value.abs() {
        size if size >= 1_000.0 => grouped(rounded(value, 3)),
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        size if size >= 0.1 => format!("{value:.2}"),
        size if size >= 0.01 => format!("{value:.3}"),
        size if size > 0.0 => format!("{value:.4}"),
        _ => "0".to_owned(),
    }
}

/// The value with so many digits that count.
pub fn rounded(value: f64, digits: i32) -> f64 {
    if value == 0.0 || !value.is_finite() {
        return value;
    }
    #[expect(clippy::cast_possible_truncation, reason = "the exponent of a figure")]
    let place = digits - 1 - value.abs().log10().floor() as i32;
    // Dividing by a power keeps what can be written in decimals exact.
    let power = 10_f64.powi(place.abs());
    if place >= 0 {
        (value * power).round() / power
    } else {
        (value / power).round() * power
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn numbers_have_three_digits_that_count() {
        for (value, text) in [
            (0.0, "0"),
            (0.0503, "0.050"),
            (5.118, "5.12"),
            (43.56, "43.6"),
            (156.4, "156"),
            (1_482_345.0, "1,480,000"),
        ] {
            assert_eq!(number(value), text);
        }
        assert_eq!(serde_json::to_string(&rounded(0.123_456, 4)).unwrap(), "0.1235");
    }

    #[test]
    fn figures_are_those_of_the_part_that_counts() {
        let step = json!({"latency": {"p99": 7.0}, "bus_cpu_seconds": 2.0, "deliveries": 4_000_000});
        assert_eq!(
            Figure::P99.of(&json!({"sustained": step, "steps": []})),
            Some(7.0)
        );
        let flood = json!({"flood": step, "others": {"during": {"latency": {"p99": 9.0}}}});
        assert_eq!(Figure::P99OfOthers.of(&flood), Some(9.0));
        assert_eq!(Figure::BusCpu.of(&flood), Some(0.5));
        assert_eq!(Figure::Resident.of(&step), None);
    }
}
