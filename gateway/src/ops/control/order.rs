//! The bodies of control calls.

use std::time::Duration;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::Refused;
use crate::config::parse_duration;
use crate::control::{DrainSpeed, ShedOrder};

/// No drain is spread over a longer time.
const MAX_WINDOW: Duration = Duration::from_hours(24);
/// Most connections a second that can be asked for; more is no pace.
const MAX_RATE: f64 = 1e6;

/// Both left out: as `drain.duration` says.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Drain {
    window: Option<String>,
    rate: Option<f64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Shed {
    connections: u64,
    rate: f64,
}

/// `{"window": "60s"}`, `{"rate": 20}`, or nothing.
pub(super) fn drain(body: &[u8]) -> Result<DrainSpeed, Refused> {
    let order = if body.is_empty() {
        Drain::default()
    } else {
        read(body)?
    };
    match (order.window, order.rate) {
        (None, None) => Ok(DrainSpeed::Configured),
        (Some(window), None) => parse_duration(&window)
            .filter(|window| *window <= MAX_WINDOW)
            .map(DrainSpeed::Window)
            .ok_or_else(|| refused("window is a duration of at most 24h, such as \"60s\"")),
        (None, Some(rate)) => checked(rate).map(DrainSpeed::Rate),
        (Some(_), Some(_)) => Err(refused("window or rate, not both")),
    }
}

/// `{"connections": 100, "rate": 10}`.
pub(super) fn shed(body: &[u8]) -> Result<ShedOrder, Refused> {
    let order: Shed = read(body)?;
    let rate = checked(order.rate)?;
    if order.connections == 0 {
        return Err(refused("connections is at least 1"));
    }
    Ok(ShedOrder {
        connections: order.connections,
        rate,
    })
}

fn checked(rate: f64) -> Result<f64, Refused> {
    if rate > 0.0 && rate <= MAX_RATE {
        return Ok(rate);
    }
    Err(refused(
        "rate is in connections a second, above 0 and at most 1000000",
    ))
}

fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, Refused> {
    serde_json::from_slice(body)
        .map_err(|error| Refused::Order(format!("the body is not understood: {error}")))
}

fn refused(text: &str) -> Refused {
    Refused::Order(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text<T>(result: Result<T, Refused>) -> Result<T, String> {
        result.map_err(|refused| match refused {
            Refused::Order(text) => text,
            Refused::Off | Refused::Unauthorized | Refused::Conflict(_) => String::new(),
        })
    }

    #[test]
    fn drains() {
        for (body, speed) in [
            ("", DrainSpeed::Configured),
            ("{}", DrainSpeed::Configured),
            (
                r#"{"window": "1m 30s"}"#,
                DrainSpeed::Window(Duration::from_secs(90)),
            ),
            (r#"{"window": "0s"}"#, DrainSpeed::Window(Duration::ZERO)),
            (r#"{"rate": 0.5}"#, DrainSpeed::Rate(0.5)),
            (r#"{"rate": 20}"#, DrainSpeed::Rate(20.0)),
        ] {
            assert_eq!(text(drain(body.as_bytes())), Ok(speed), "{body}");
        }
        for (body, said) in [
            (r#"{"window": "60"}"#, "window is"),
            (r#"{"window": "25h"}"#, "window is"),
            (r#"{"window": 60}"#, "not understood"),
            (r#"{"rate": 0}"#, "rate is"),
            (r#"{"rate": -1}"#, "rate is"),
            (r#"{"rate": 1e7}"#, "rate is"),
            (r#"{"rate": 1, "window": "1s"}"#, "not both"),
            (r#"{"speed": 1}"#, "unknown field `speed`"),
            ("[", "not understood"),
        ] {
            let refusal = text(drain(body.as_bytes())).unwrap_err();
            assert!(refusal.contains(said), "{body}: {refusal}");
        }
    }

    #[test]
    fn sheds() {
        let order = ShedOrder {
            connections: 100,
            rate: 10.0,
        };
        assert_eq!(text(shed(br#"{"connections": 100, "rate": 10}"#)), Ok(order));
        for (body, said) in [
            ("", "not understood"),
            (r#"{"connections": 0, "rate": 1}"#, "at least 1"),
            (r#"{"connections": -1, "rate": 1}"#, "not understood"),
            (r#"{"connections": 1}"#, "missing field `rate`"),
            (r#"{"connections": 1, "rate": 0}"#, "rate is"),
        ] {
            let refusal = text(shed(body.as_bytes())).unwrap_err();
            assert!(refusal.contains(said), "{body}: {refusal}");
        }
    }
}
